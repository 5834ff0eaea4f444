package tokens

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"authferry/tokens/store"
)

const (
	// flushEvery is how often the last uses of a mailbox's passwords are written
	// at most.
	flushEvery = time.Minute
	// flushTimeout bounds the writing of one mailbox.
	flushTimeout = 30 * time.Second
	// maxClientName is how many bytes of a program's name for itself are kept.
	maxClientName = 80
)

// lastUsed notes when passwords were used, in memory, and writes it to the store
// later: a login neither waits for the disk nor wears it out.
type lastUsed struct {
	store store.Store
	log   *zap.Logger

	mu     sync.Mutex
	noted  map[string]map[string]store.Use // by mailbox and password ID
	timer  *time.Timer                     // of the next flush, if there is anything to write
	closed bool

	flushing sync.Mutex
}

func newLastUsed(s store.Store, log *zap.Logger) *lastUsed {
	return &lastUsed{store: s, log: log, noted: map[string]map[string]store.Use{}}
}

// note remembers a use.
func (u *lastUsed) note(mailbox, id string, use store.Use) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.noted[mailbox] == nil {
		u.noted[mailbox] = map[string]store.Use{}
	}
	u.noted[mailbox][id] = use
	if u.timer == nil && !u.closed {
		u.timer = time.AfterFunc(flushEvery, func() {
			if err := u.flush(context.Background()); err != nil {
				u.log.Warn("the use of passwords could not be written down", zap.Error(err))
			}
		})
	}
}

// flush writes the noted uses. Those that cannot be written are dropped: the next
// use replaces them.
func (u *lastUsed) flush(ctx context.Context) error {
	u.flushing.Lock()
	defer u.flushing.Unlock()
	u.mu.Lock()
	noted := u.noted
	u.noted = map[string]map[string]store.Use{}
	if u.timer != nil {
		u.timer.Stop()
		u.timer = nil
	}
	u.mu.Unlock()
	var errs []error
	for mailbox, byID := range noted {
		if err := u.flushMailbox(ctx, mailbox, byID); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (u *lastUsed) flushMailbox(ctx context.Context, mailbox string, byID map[string]store.Use) error {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	err := u.store.Update(ctx, mailbox, func(a *store.Account) error {
		changed := false
		for i := range a.Passwords {
			p := &a.Passwords[i]
			// Another process may have written a later one.
			if use, ok := byID[p.ID]; ok && use.At.After(p.LastUsed.At) {
				p.LastUsed, changed = use, true
			}
		}
		return skipWrite(!changed)
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

// close writes what is left, after a flush under way. Later uses are not written.
func (u *lastUsed) close(ctx context.Context) error {
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	return u.flush(ctx)
}
