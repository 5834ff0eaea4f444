package audit

import (
	"os"
	"strings"
	"testing"

	"go.uber.org/zap"
)

// TestReadWhileRotating: the newest file becomes the one before between the
// opening of the two.
func TestReadWhileRotating(t *testing.T) {
	dir := t.TempDir()
	l := Open(dir, roomy, zap.NewNop())
	l.Note(success(start, "a@example.org"))
	l.Close()
	if err := os.Link(newest(dir, succeeded), before(dir, succeeded)); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir, Query{}); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}

func FuzzReadLines(f *testing.F) {
	f.Add([]byte(`{"time":"2026-11-21T09:00:01Z","protocol":"imap","client":"192.0.2.1:1","result":"ok"}` + "\n"))
	f.Add([]byte("{}\n\n{\"time\":"))
	f.Add([]byte(strings.Repeat("x", maxLine+5) + "\n" + `{"time":"2026-11-21T09:00:01Z","result":"ok"}` + "\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		n := 0
		if err := readLines(strings.NewReader(string(file)), func(e Entry) {
			if n++; e.Time.IsZero() || e.Result == "" || e.Times() < 1 {
				t.Errorf("%+v", e)
			}
		}); err != nil {
			t.Error(err)
		}
		if n > strings.Count(string(file), "\n") {
			t.Errorf("%d entries", n)
		}
	})
}
