package store

import (
	"context"
	"time"
)

// worker does something soon after each kick, in a goroutine of its own, and for
// many kicks at one time once, with a pause after it. end waits for it.
func Worker(ctx context.Context, pause time.Duration, do func()) (kick, end func()) {
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
			default: // there is one that it has not come to
			}
		}, func() {
			close(kicks)
			<-done
		}
}
