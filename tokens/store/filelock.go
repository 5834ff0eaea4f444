package store

import (
	"context"
	"fmt"
	"time"

	"github.com/gofrs/flock"

	"authferry/internal/printable"
)

const (
	lockSuffix = ".lock"
	// lockPoll is how often a lock held by another process is tried: flock(2)
	// cannot wait and be cancelled.
	lockPoll = 10 * time.Millisecond
)

// lock excludes all other goroutines and processes from editing a mailbox.
func (s *Files) lock(ctx context.Context, mailbox string) (unlock func(), err error) {
	if len(escapeName(mailbox)) > maxName {
		return nil, fmt.Errorf("the address %s is too long for the name of a file", printable.Quote(mailbox))
	}
	return s.lockFile(ctx, s.Path(mailbox, lockSuffix), "the account of "+printable.Quote(mailbox))
}

// lockFile holds a lock until unlock is called; what says what it protects. A
// lock of the file system belongs to whoever opened the file, so that
// goroutines have to be told apart by another.
func (s *Files) lockFile(ctx context.Context, path, what string) (unlock func(), err error) {
	leave, err := s.locks.lock(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("waiting to edit %s: %w", what, err)
	}
	file := flock.New(path, flock.SetPermissions(0o600))
	if _, err := file.TryLockContext(ctx, lockPoll); err != nil {
		leave()
		return nil, fmt.Errorf("locking %s: %w", what, err)
	}
	return func() {
		file.Unlock()
		leave()
	}, nil
}
