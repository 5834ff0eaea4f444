package proxy

import (
	"context"
	"errors"
	"testing"
	"time"

	"authferry/proxy/dialoguetest"
)

// TestShutdownWhileEntering: a shutdown does not wait for a provider that sends
// nothing.
func TestShutdownWhileEntering(t *testing.T) {
	d, steps := newDialogue(t, "testdata/dialogues/imap-provider-speaks-first.txt")
	d.play(steps[:3]) // up to where the provider is silent
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := d.server.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	d.legs['p'].SetDeadline(time.Now().Add(patience))
	d.expectEnd(dialoguetest.Step{Who: 'p'}, d.legs['p'])
}
