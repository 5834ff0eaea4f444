package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"

	"authferry/internal/hint"
)

// ServeLock is the file in the state directory that the server locks. It is
// never removed: removing a lock races with the next process that takes it.
const ServeLock = "serve.lock"

// HoldStore locks the state directory for its one server; commands work beside
// it. Two servers would not refresh a token twice, but each would count wrong
// passwords, mails and sessions separately, and they would take over each
// other's admin socket. The kernel releases the lock when the process ends, so
// a lock file that exists means nothing.
func HoldStore(dir string) (release func() error, err error) {
	path := filepath.Join(dir, ServeLock)
	lock := flock.New(path, flock.SetPermissions(0o600))
	switch held, err := lock.TryLock(); {
	case err != nil:
		return nil, hint.New(fmt.Errorf("locking the store: locking %s: %w", path, err), storeHint)
	case !held:
		return nil, hint.New(fmt.Errorf("another authferry%s serves the store %s: only one server may", servedBy(path), dir),
			"stop that one, or give this one a store of its own")
	}
	// For the error above, which works without it: on Windows no other handle
	// may write into a locked file.
	_ = os.WriteFile(path, fmt.Appendln(nil, os.Getpid()), 0o600)
	return func() error {
		if err := lock.Unlock(); err != nil {
			return fmt.Errorf("releasing the store: %w", err)
		}
		return nil
	}, nil
}

// IsServed reports whether a server uses a store. It creates nothing there: the
// store may belong to another user. It takes a shared lock, which would block a
// server that starts at this moment.
func IsServed(dir string) (bool, error) {
	path := filepath.Join(dir, ServeLock)
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY))
	free, err := lock.TryRLock()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // no server has run here
	}
	if err != nil {
		return false, fmt.Errorf("checking whether a server runs: locking %s: %w", path, err)
	}
	if free {
		err = lock.Unlock()
	}
	return !free, err
}

// servedBy returns the process that holds a lock, if the file can be read: on
// Windows a locked file cannot.
func servedBy(path string) string {
	text, err := os.ReadFile(path)
	pid := strings.TrimSpace(string(text))
	if _, bad := strconv.Atoi(pid); err != nil || bad != nil {
		return ""
	}
	return " (process " + pid + ")"
}
