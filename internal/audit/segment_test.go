package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// TestCrash: a line that a crash cut short costs that line, not the next.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	l := Open(dir, roomy, zap.NewNop())
	l.Note(success(start, "a@example.org"))
	l.Close()
	f, err := os.OpenFile(newest(dir, succeeded), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"time":"2026-11-21T09:00:01Z","protocol":"im`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if got := read(t, dir, Query{}); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	l = Open(dir, roomy, zap.NewNop())
	l.Note(success(start.Add(time.Minute), "b@example.org"))
	l.Close()
	if got := read(t, dir, Query{}); len(got) != 2 || got[1].Mailbox != "b@example.org" {
		t.Errorf("%+v", got)
	}
}

// fill makes the disk take only so many bytes more; free lets it go.
func fill(t *testing.T, room int) (free func()) {
	full, usual := true, writeTo
	writeTo = func(f *os.File, b []byte) (int, error) {
		if !full || len(b) <= room {
			return usual(f, b)
		}
		n, err := usual(f, b[:room])
		if err != nil {
			t.Error(err)
		}
		room = 0
		return n, errors.New("no space left on device")
	}
	t.Cleanup(func() { writeTo = usual })
	return func() { full = false }
}

// TestFullDisk: it is said once, logins go on, and once there is room again they
// are recorded again, whatever was torn.
func TestFullDisk(t *testing.T) {
	core, logs := observer.New(zapcore.InfoLevel)
	dir := t.TempDir()
	free := fill(t, 30)
	l := newLog(dir, roomy, zap.New(core))
	for i := range 20 {
		l.Note(success(start.Add(time.Duration(i)*time.Second), "lost@example.org"))
		l.step()
	}
	if logs.FilterLevelExact(zapcore.ErrorLevel).Len() != 1 || !strings.Contains(logs.All()[0].Message, "cannot be recorded") {
		t.Errorf("said %v", logs.All())
	}
	free()
	l.Note(success(start.Add(time.Hour), "a@example.org"))
	l.step()
	l.segments[succeeded].close()
	if got := read(t, dir, Query{}); len(got) != 1 || got[0].Mailbox != "a@example.org" {
		t.Errorf("%+v", got)
	}
	if logs.FilterMessage("logins are recorded again").Len() != 1 {
		t.Errorf("said %v", logs.All())
	}
}

// step does what the writer does when it is woken.
func (l *Log) step() {
	l.put(l.take(time.Now()))
}

// TestRemovedAndOff: a file that was removed is made again; size 0 records nothing.
func TestRemovedAndOff(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logins")
	l := Open(dir, roomy, zap.NewNop())
	l.Note(success(start, "a@example.org"))
	l.Close()
	l = newLog(dir, 0, zap.NewNop())
	l.Note(success(start, "off@example.org"))
	l.Resize(roomy)
	l.Note(success(start, "b@example.org"))
	l.step()
	l.Resize(0)
	l.Note(success(start, "off@example.org"))
	l.step()
	l.segments[succeeded].close()
	if got := read(t, dir, Query{}); len(got) != 2 {
		t.Errorf("%+v", got)
	}
	s := &segment{dir: dir, kind: failed}
	line := []byte(`{"time":"2026-11-21T09:00:01Z","result":"bad login"}` + "\n")
	for range 2 {
		if err := s.append([][]byte{line}, roomy); err != nil {
			t.Fatal(err)
		}
		if got := read(t, dir, Query{Failed: true}); len(got) != 1 {
			t.Errorf("%+v", got)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	s.close()
}

// TestRotation: whole lines, the newest of them, in bounded files.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	s := &segment{dir: dir, kind: failed}
	defer s.close()
	line := func(i int) []byte {
		return fmt.Appendf(nil, `{"time":%q,"result":"bad login","user":"%d"}`+"\n", start.Add(time.Duration(i)*time.Second).Format(time.RFC3339), i)
	}
	const lines, most = 100, 1000
	for i := range lines {
		if err := s.append([][]byte{line(i)}, most); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{newest(dir, failed), before(dir, failed)} {
			if info, err := os.Stat(path); err == nil && info.Size() > most {
				t.Fatalf("%s has %d bytes", path, info.Size())
			}
		}
	}
	var batch [][]byte
	for i := range lines {
		batch = append(batch, line(lines+i))
	}
	if err := s.append(batch, most); err != nil {
		t.Fatal(err)
	}
	got := read(t, dir, Query{})
	if len(got) < most/len(line(0)) || len(got) > 2*most/len(line(0)) {
		t.Errorf("%d lines", len(got))
	}
	for i := range got {
		if want := fmt.Sprint(2*lines - len(got) + i); got[i].User != want {
			t.Errorf("line %d is %s, want %s", i, got[i].User, want)
		}
	}
}
