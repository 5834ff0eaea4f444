package tokens

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// follower is a store that other machines write to, and that has to be told.
type follower interface {
	Follow(ctx context.Context, back, changed func())
	// Latest returns an account as last written, nil if a is that.
	Latest(ctx context.Context, a *Account) (*Account, error)
}

// sweepPause comes between two calls of what Follow was given: every refresh of
// a token is a change.
const sweepPause = 500 * time.Millisecond

// Follow keeps up with what other machines write to the store, until ctx is
// done; where there are none it returns at once. It calls changed, soon after
// another machine changed something. Tokens that could not be written while the
// store was away are written when it is back, before others miss them.
func (v *Vault) Follow(ctx context.Context, changed func()) {
	f, ok := v.store.(follower)
	if !ok {
		return
	}
	news := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range news {
			changed()
			select {
			case <-time.After(sweepPause):
			case <-ctx.Done():
			}
		}
	}()
	f.Follow(ctx, func() {
		if err := v.writeUnwritten(ctx); err != nil {
			v.log.Error("tokens could not be written down", zap.Error(err))
		}
	}, func() {
		select {
		case news <- struct{}{}:
		default: // there is one that it has not looked at
		}
	})
	close(news)
	<-done
}

// verifyLatest looks again before a login is refused: the password may have been
// added on another machine a moment ago. While that cannot be known, nobody is
// told that a password is wrong.
func (v *Vault) verifyLatest(ctx context.Context, a *Account, l Login, refused error) (*Account, *Password, error) {
	f, ok := v.store.(follower)
	if !ok || !a.held() {
		return a, nil, refused
	}
	latest, err := f.Latest(ctx, a)
	switch {
	case errors.Is(err, ErrNoMailbox) || err == nil && latest == nil:
		return a, nil, refused
	case err != nil:
		return a, nil, fmt.Errorf("%w: a login that seems wrong: %w", ErrUnavailable, err)
	}
	p, err := v.verifier.verify(ctx, latest, l, v.now())
	return latest, p, err
}
