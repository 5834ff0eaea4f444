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

// serveLock is the file in the store's directory that the server holds a lock
// on. It stays: removing a lock races with whoever is about to take it.
const ServeLock = "serve.lock"

// holdStore takes the store for the one server it may have; the commands share
// it with that one. Two would refresh no token twice, but each would count
// wrong passwords, mails and sessions on its own, and they would take each
// other's admin socket. The kernel gives the lock back whatever becomes of the
// process, so that a lock file that is there means nothing.
func HoldStore(dir string) (release func() error, err error) {
	path := filepath.Join(dir, ServeLock)
	lock := flock.New(path, flock.SetPermissions(0o600))
	switch held, err := lock.TryLock(); {
	case err != nil:
		return nil, hint.New(fmt.Errorf("taking the store: locking %s: %w", path, err), storeHint)
	case !held:
		return nil, hint.New(fmt.Errorf("another authferry%s serves the store %s: a store has one server", servedBy(path), dir),
			"stop that one, or give this one a store of its own")
	}
	// For the sentence above, which goes without it: nobody may write into a
	// locked file on Windows.
	_ = os.WriteFile(path, fmt.Appendln(nil, os.Getpid()), 0o600)
	return func() error {
		if err := lock.Unlock(); err != nil {
			return fmt.Errorf("giving the store back: %w", err)
		}
		return nil
	}, nil
}

// isServed tells whether a server holds a store, and makes nothing there: the
// store may be somebody else's. The lock is shared by those who only look, and
// would be in the way of a server that starts this very moment.
func IsServed(dir string) (bool, error) {
	path := filepath.Join(dir, ServeLock)
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY))
	free, err := lock.TryRLock()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // no server was ever there
	}
	if err != nil {
		return false, fmt.Errorf("looking whether a server is at work: locking %s: %w", path, err)
	}
	if free {
		err = lock.Unlock()
	}
	return !free, err
}

// servedBy names the process that holds a lock, if it can be read: on Windows a
// locked file cannot.
func servedBy(path string) string {
	text, err := os.ReadFile(path)
	pid := strings.TrimSpace(string(text))
	if _, bad := strconv.Atoi(pid); err != nil || bad != nil {
		return ""
	}
	return " (process " + pid + ")"
}
