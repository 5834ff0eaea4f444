//go:build unix

package logging

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// TestJournal: lines have their priority where the journal reads, and nowhere else.
func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stderr")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	device, inode, ok := identity(f)
	if !ok {
		t.Fatal("the file has no device and inode")
	}
	write := func(stream string) string {
		t.Setenv("JOURNAL_STREAM", stream)
		if err := errors.Join(f.Truncate(0), func() error { _, err := f.Seek(0, 0); return err }()); err != nil {
			t.Fatal(err)
		}
		log, _ := New(Config{Level: zapcore.DebugLevel, Format: "json"}, f)
		log = log.With(zap.Int("n", 1))
		log.Debug("a")
		log.Info("b")
		log.Warn("c")
		log.Error("d")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	want := []string{`<7>{"level":"debug"`, `<6>{"level":"info"`, `<4>{"level":"warn"`, `<3>{"level":"error"`}
	got := strings.Split(strings.TrimSpace(write(fmt.Sprintf("%d:%d", device, inode))), "\n")
	for i, line := range got {
		if len(got) != len(want) || !strings.HasPrefix(line, want[i]) || !strings.HasSuffix(line, `"n":1}`) {
			t.Fatalf("to the journal: %q", got)
		}
	}
	for _, stream := range []string{"", fmt.Sprintf("%d:%d", device, inode+1), "nonsense"} {
		if got := write(stream); !strings.HasPrefix(got, `{"level":"debug"`) || strings.Contains(got, "\n<") {
			t.Errorf("not to the journal (%q): %q", stream, got)
		}
	}
}
