package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"authferry/internal/atomicfile"
)

// TestFileDocuments: sealed, for their owner alone, under their own names, and
// the old one outlives whatever the disk does.
func TestFileDocuments(t *testing.T) {
	dir := t.TempDir()
	s, ctx := openStore(t, dir), context.Background()
	write := func(name, data string) error {
		return s.UpdateDocument(ctx, name, func([]byte) ([]byte, error) { return []byte(data), nil })
	}
	for _, name := range []string{"users", "sessions"} {
		if err := write(name, "CANARY of "+name); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "documents", "users.age")
	for path, want := range map[string]os.FileMode{filepath.Dir(path): 0o700, path: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v; want %v", path, info.Mode().Perm(), err, want)
		}
	}
	sealed, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(sealed), "CANARY") {
		t.Errorf("not sealed: %v", err)
	}

	whole := atomicfile.Disk
	defer func() { atomicfile.Disk = whole }()
	atomicfile.Disk.Write = func(*os.File, []byte) (int, error) { return 0, syscall.ENOSPC }
	if err := write("users", "new"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk: %v", err)
	}
	atomicfile.Disk = whole
	wantDocument(t, "users", []byte("CANARY of users"), s, openStore(t, dir))

	if err := os.Rename(filepath.Join(dir, "documents", "sessions.age"), path); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Document(ctx, "users"); err == nil || got != nil {
		t.Errorf("another document passes for it: %q", got)
	}
	if err := write("users", "new"); err == nil {
		t.Error("what cannot be read was overwritten")
	}
	if err := os.Remove(filepath.Join(dir, "seal.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSeal("", dir); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("a key was made beside documents of another: %v", err)
	}
}
