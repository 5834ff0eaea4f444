package tokens

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// follower is a store that other servers write to and that announces changes.
type follower interface {
	// Follow listens for changes until ctx is done. It calls changed after an account
	// changed, and well when the store answers after an outage and from time to time
	// while it does. Both must return at once.
	Follow(ctx context.Context, well, changed func())
}

// workPause is the time between two runs of the work that changes cause: each
// refresh of a token is a change.
const workPause = 500 * time.Millisecond

// Follow calls changed soon after an account changed in the store, until ctx is done. After an outage of the store it writes the tokens that could
// not be written, before other servers need them. It returns at once if the store
// is not shared between servers.
func (v *Vault) Follow(ctx context.Context, changed func()) {
	f, ok := v.store.(follower)
	if !ok {
		return
	}
	write, written := worker(ctx, workPause, func() {
		if err := v.writeUnwritten(ctx); err != nil && ctx.Err() == nil {
			v.log.Error("tokens could not be written down", zap.Error(err))
		}
	})
	tell, told := worker(ctx, workPause, changed)
	f.Follow(ctx, write, tell)
	written()
	told()
}

// worker calls do in its own goroutine soon after each kick, once for several kicks
// in a row, with a pause after each call. end waits for it.
func worker(ctx context.Context, pause time.Duration, do func()) (kick, end func()) {
	kicks, done := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(done)
		for range kicks {
			do()
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}()
	return func() {
			select {
			case kicks <- struct{}{}:
			default: // one is pending
			}
		}, func() {
			close(kicks)
			<-done
		}
}
