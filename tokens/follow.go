package tokens

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// follower is a store that other machines write to, and that has to be told.
type follower interface {
	// Follow keeps up until ctx is done. It calls well when the store answers
	// after a time away, and now and then while it does, and changed when another
	// machine has changed an account. Both return at once.
	Follow(ctx context.Context, well, changed func())
	// Latest returns an account as last written, nil if a is that.
	Latest(ctx context.Context, a *store.Account) (*store.Account, error)
}

// workPause comes between two rounds of what is done for changes: every refresh
// of a token is one.
const workPause = 500 * time.Millisecond

// Follow keeps up with what other machines write to the store, until ctx is
// done; where there are none it returns at once. It calls changed, soon after
// another machine changed something. Tokens that could not be written while the
// store was away are written when it is back, before others miss them.
func (v *Vault) Follow(ctx context.Context, changed func()) {
	f, ok := v.store.(follower)
	if !ok {
		return
	}
	write, written := store.Worker(ctx, workPause, func() {
		if err := v.writeUnwritten(ctx); err != nil && ctx.Err() == nil {
			v.log.Error("tokens could not be written down", zap.Error(err))
		}
	})
	tell, told := store.Worker(ctx, workPause, changed)
	f.Follow(ctx, write, tell)
	written()
	told()
}

// verifyLatest looks again before a login is refused: the password may have been
// added on another machine a moment ago. While that cannot be known, nobody is
// told that a password is wrong.
func (v *Vault) verifyLatest(ctx context.Context, a *store.Account, l Login, refused error) (*store.Account, *store.Password, error) {
	f, ok := v.store.(follower)
	if !ok || !a.Held() {
		return a, nil, refused
	}
	latest, err := f.Latest(ctx, a)
	switch {
	case errors.Is(err, store.ErrNoMailbox) || err == nil && latest == nil:
		return a, nil, refused
	case err != nil:
		return a, nil, fmt.Errorf("%w: a login that seems wrong: %w", oauth.ErrUnavailable, err)
	}
	p, err := v.verifier.verify(ctx, latest, l, v.now())
	return latest, p, err
}
