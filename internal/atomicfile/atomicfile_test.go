package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
)

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(TempName(path), []byte("left by a crash"), 0o400); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		content string
		mode    os.FileMode
	}{{"first", 0o600}, {"second, longer", 0o644}, {"third", 0o600}, {"", 0o600}} {
		if err := Write(path, []byte(test.content), test.mode); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != test.content {
			t.Errorf("%q, %v, want %q", got, err, test.content)
		}
		info, err := os.Stat(path)
		if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != test.mode {
			t.Errorf("mode %v, %v, want %v", info.Mode(), err, test.mode)
		}
		if _, err := os.Stat(TempName(path)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the temporary file is left behind: %v", err)
		}
	}
}

// TestWriteOrder: the content is on the disk before it has the name, and the
// name is on the disk before Write returns.
func TestWriteOrder(t *testing.T) {
	whole := Disk
	defer func() { Disk = whole }()
	var steps []string
	Disk = Operations{
		Write:   func(f *os.File, b []byte) (int, error) { steps = append(steps, "write"); return whole.Write(f, b) },
		Sync:    func(f *os.File) error { steps = append(steps, "sync"); return whole.Sync(f) },
		Rename:  func(from, to string) error { steps = append(steps, "rename"); return whole.Rename(from, to) },
		SyncDir: func(dir string) error { steps = append(steps, "sync "+filepath.Base(dir)); return whole.SyncDir(dir) },
	}
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(filepath.Join(dir, "file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if want := []string{"write", "sync", "rename", "sync dir"}; !slices.Equal(steps, want) {
		t.Errorf("%q, want %q", steps, want)
	}
}

func TestWriteFaults(t *testing.T) {
	whole := Disk
	for name, test := range map[string]struct {
		begin func()
		want  string
	}{
		"full disk": {func() {
			Disk.Write = func(f *os.File, b []byte) (int, error) { n, _ := f.Write(b[:1]); return n, syscall.ENOSPC }
		}, "old"},
		"failing sync":           {func() { Disk.Sync = func(*os.File) error { return syscall.EIO } }, "old"},
		"failing rename":         {func() { Disk.Rename = func(string, string) error { return syscall.EXDEV } }, "old"},
		"failing directory sync": {func() { Disk.SyncDir = func(string) error { return syscall.EIO } }, "new"},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() { Disk = whole }()
			path := filepath.Join(t.TempDir(), "file")
			if err := Write(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			test.begin()
			if err := Write(path, []byte("new"), 0o600); err == nil {
				t.Error("the fault is not reported")
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != test.want {
				t.Errorf("%q, %v, want %q", got, err, test.want)
			}
			if _, err := os.Stat(TempName(path)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the temporary file is left behind: %v", err)
			}
		})
	}
}

func TestWriteWithoutDirectory(t *testing.T) {
	if err := Write(filepath.Join(t.TempDir(), "gone", "file"), nil, 0o600); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
