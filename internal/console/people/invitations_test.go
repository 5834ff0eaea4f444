package people_test

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authferry/internal/console/consoletest"
	"authferry/internal/console/people"
)

// TestClaimOnce: of many concurrent claims of an invitation, one succeeds.
func TestClaimOnce(t *testing.T) {
	d := people.InvitationStore{Vault: consoletest.New(t).Vault, Now: time.Now}
	i, _, err := d.Add(t.Context(), people.Invitation{Domain: "example.com", Provider: "gmail"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Claim(t.Context(), i.Hash, consoletest.Mine, netip.Addr{}); err == nil {
		t.Error("a mailbox of another domain")
	}
	var won, lost atomic.Int32
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			switch err := d.Claim(t.Context(), i.Hash, "colleague@example.com", netip.Addr{}); {
			case err == nil:
				won.Add(1)
			case errors.As(err, new(*people.InvitationEnded)):
				lost.Add(1)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 || lost.Load() != 11 {
		t.Errorf("%d have it, %d have not", won.Load(), lost.Load())
	}
	if err := d.Release(t.Context(), i.Hash); err != nil {
		t.Fatal(err)
	}
	if err := d.Claim(t.Context(), i.Hash, "colleague@example.com", netip.Addr{}); err != nil {
		t.Errorf("given back: %v", err)
	}
}
