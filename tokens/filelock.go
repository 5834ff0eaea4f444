package tokens

import (
	"context"
	"fmt"
	"time"

	"github.com/gofrs/flock"
)

const (
	lockSuffix = ".lock"
	// lockPoll is how often a lock held by another process is tried: flock(2)
	// cannot wait and be cancelled.
	lockPoll = 10 * time.Millisecond
)

// fileLock excludes the goroutines of this process from each other: a lock of
// the file system belongs to whoever opened the file.
type fileLock struct {
	held  chan struct{}
	users int
}

// lock excludes all other goroutines and processes from editing a mailbox.
func (s *FileStore) lock(ctx context.Context, mailbox string) (unlock func(), err error) {
	if len(escapeName(mailbox)) > maxName {
		return nil, fmt.Errorf("the address %s is too long for the name of a file", quote(mailbox))
	}
	return s.lockFile(ctx, s.path(mailbox, lockSuffix), "the account of "+quote(mailbox))
}

// lockFile holds a lock until unlock is called; what says what it protects.
func (s *FileStore) lockFile(ctx context.Context, path, what string) (unlock func(), err error) {
	s.mu.Lock()
	l := s.locks[path]
	if l == nil {
		l = &fileLock{held: make(chan struct{}, 1)}
		s.locks[path] = l
	}
	l.users++
	s.mu.Unlock()
	leave := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(s.locks, path)
		}
	}
	select {
	case l.held <- struct{}{}:
	case <-ctx.Done():
		leave()
		return nil, fmt.Errorf("waiting to edit %s: %w", what, ctx.Err())
	}
	file := flock.New(path, flock.SetPermissions(0o600))
	if _, err := file.TryLockContext(ctx, lockPoll); err != nil {
		<-l.held
		leave()
		return nil, fmt.Errorf("locking %s: %w", what, err)
	}
	return func() {
		file.Unlock()
		<-l.held
		leave()
	}, nil
}
