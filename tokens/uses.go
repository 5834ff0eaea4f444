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
	// flushEvery is how often the uses of a mailbox's passwords are written at
	// most.
	flushEvery = time.Minute
	// flushTime bounds the writing of one mailbox.
	flushTime = 30 * time.Second
	// mostClient is how much of a program's name for itself is kept.
	mostClient = 80
)

// uses notes when passwords were used, in memory, and writes it down now and
// then: a login neither waits for the disk nor wears it out.
type uses struct {
	vault *Vault

	mu      sync.Mutex
	noted   map[string]map[string]store.Use // by mailbox and password ID
	started bool
	closed  bool
	stop    chan struct{}
	done    chan struct{}
}

func newUses(v *Vault) *uses {
	return &uses{vault: v, noted: map[string]map[string]store.Use{}, stop: make(chan struct{}), done: make(chan struct{})}
}

// note remembers a use; the first one starts the writer.
func (u *uses) note(mailbox, id string, use store.Use) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.noted[mailbox] == nil {
		u.noted[mailbox] = map[string]store.Use{}
	}
	u.noted[mailbox][id] = use
	if !u.started && !u.closed {
		u.started = true
		go u.write()
	}
}

// write flushes until it is told to stop.
func (u *uses) write() {
	defer close(u.done)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := u.flush(context.Background()); err != nil {
				u.vault.log.Warn("the use of passwords could not be written down", zap.Error(err))
			}
		case <-u.stop:
			return
		}
	}
}

// flush writes down what was noted. What cannot be written is dropped: the next
// use tells more than the last one.
func (u *uses) flush(ctx context.Context) error {
	u.mu.Lock()
	noted := u.noted
	u.noted = map[string]map[string]store.Use{}
	u.mu.Unlock()
	var errs []error
	for mailbox, byID := range noted {
		if err := u.flushMailbox(ctx, mailbox, byID); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (u *uses) flushMailbox(ctx context.Context, mailbox string, byID map[string]store.Use) error {
	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	err := u.vault.store.Update(ctx, mailbox, func(a *store.Account) error {
		changed := false
		for i := range a.Passwords {
			p := &a.Passwords[i]
			// Another process may have seen a later one.
			if use, ok := byID[p.ID]; ok && use.At.After(p.LastUsed.At) {
				p.LastUsed, changed = use, true
			}
		}
		if !changed {
			return errAsIs
		}
		return nil
	})
	if errors.Is(err, errAsIs) {
		return nil
	}
	return err
}

// close stops the writer and writes what is left.
func (u *uses) close(ctx context.Context) error {
	u.mu.Lock()
	running := u.started && !u.closed
	u.closed = true
	u.mu.Unlock()
	if running {
		close(u.stop)
		<-u.done
	}
	return u.flush(ctx)
}
