package gate

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"authferry/internal/secret"
	"authferry/tokens"
)

var client = netip.MustParseAddr("192.0.2.1")

func wrong(from netip.Addr, user, password string) tokens.Login {
	return tokens.Login{From: from, User: user, Password: secret.String(password)}
}

// failuresOf returns how many failures count for a key.
func failuresOf(g *Gate, k loginKey) int {
	n, _ := g.counts[k.scope].Count(k, time.Now())
	return n
}

func TestGateAllows(t *testing.T) {
	g := New(Limits{Allow: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8::/32")}})
	for addr, want := range map[string]error{
		"198.51.100.7": nil, "2001:db8::7": nil, "127.0.0.1": nil, "::1": nil,
		"198.51.101.7": errNotAllowed, "2001:db9::7": errNotAllowed,
	} {
		slot, err := g.Admit(netip.MustParseAddr(addr), nil)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", addr, err, want)
		}
		slot.Release()
	}
}

func TestGateCountsConnections(t *testing.T) {
	g := New(Limits{Connections: 5, ConnectionsPerAddress: 2})
	admit := func(addr string) *Slot {
		slot, err := g.Admit(netip.MustParseAddr(addr), nil)
		if err != nil {
			t.Helper()
			t.Fatalf("%s: %v", addr, err)
		}
		return slot
	}
	refused := func(addr string) {
		t.Helper()
		if _, err := g.Admit(netip.MustParseAddr(addr), nil); !errors.Is(err, ErrTooMany) {
			t.Fatalf("%s: %v, want ErrTooMany", addr, err)
		}
	}
	first := admit("2001:db8::1")
	admit("2001:db8::2") // the same /64
	refused("2001:db8::3")
	first.Release()
	first.Release() // has no effect
	admit("2001:db8::3")
	admit("127.0.0.1")
	admit("127.0.0.1")
	admit("127.0.0.1") // loopback has no limit of its own, only the total
	refused("127.0.0.1")
	refused("192.0.2.9")
	if len(g.slots.bySite) != 2 {
		t.Errorf("%d addresses remembered, want the 2 that are connected", len(g.slots.bySite))
	}
}

func TestGateDelaysGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{Failures: -1})
		for i, want := range []time.Duration{1, 2, 4, 8, 15, 15} {
			start := time.Now()
			if err := g.Failed(t.Context(), wrong(client, "a@example.org", fmt.Sprint("guess", i)), func() {}); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(start); got != want*time.Second {
				t.Errorf("failure %d waited %v, want %v", i+1, got, want*time.Second)
			}
		}
	})
}

func TestGateSamePasswordDoesNotEscalate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{Failures: 3})
		for range 20 {
			start := time.Now()
			g.Failed(t.Context(), wrong(client, "a@example.org", "an old password"), func() {})
			if got := time.Since(start); got != time.Second {
				t.Fatalf("waited %v, want the first delay each time", got)
			}
		}
		if err := g.Blocked(client, "a@example.org"); err != nil {
			t.Errorf("blocked a program with an old password: %v", err)
		}
	})
}

func TestGateBlocksForAWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{Failures: 3, Window: time.Minute, Delay: -1})
		for i := range 3 {
			g.Failed(t.Context(), wrong(client, "A@example.org", fmt.Sprint(i)), func() {})
		}
		if err := g.Blocked(client, "a@EXAMPLE.org"); !errors.Is(err, ErrTooMany) {
			t.Errorf("after 3 failures: %v", err)
		}
		if err := g.Blocked(client, "b@example.org"); err != nil {
			t.Errorf("another mailbox from the same address: %v", err)
		}
		if err := g.Blocked(netip.MustParseAddr("192.0.2.2"), "a@example.org"); err != nil {
			t.Errorf("the same mailbox from another address: %v", err)
		}
		time.Sleep(time.Minute + 1) // of synctest's clock
		if err := g.Blocked(client, "a@example.org"); err != nil {
			t.Errorf("after the window: %v", err)
		}
	})
}

func TestGateBlocksAddresses(t *testing.T) {
	for _, tt := range []struct {
		name     string
		guess    func(i int) netip.Addr
		failures int
		victim   string
	}{
		{"IPv4", func(int) netip.Addr { return client }, limitFactor[wholeAddress], "192.0.2.1"},
		{"IPv6 /64", func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1)) }, limitFactor[wholeAddress], "2001:db8::ffff"},
		{"IPv6 /48", func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%x::1", i+1)) }, limitFactor[wholeNetwork], "2001:db8:0:ffff::1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := New(Limits{Failures: 1, Delay: -1})
			victim := netip.MustParseAddr(tt.victim)
			for i := range tt.failures {
				if err := g.Blocked(victim, "you@example.org"); err != nil {
					t.Fatalf("after %d of %d failures: %v", i, tt.failures, err)
				}
				g.Failed(t.Context(), wrong(tt.guess(i), fmt.Sprintf("%d@example.org", i), "guess"), func() {})
			}
			if err := g.Blocked(victim, "you@example.org"); !errors.Is(err, ErrTooMany) {
				t.Errorf("after %d failures: %v", tt.failures, err)
			}
		})
	}
}

func TestGateForgetsTheOldest(t *testing.T) {
	g := New(Limits{Delay: -1})
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	for i := range 2 * maxKeys {
		g.Failed(t.Context(), wrong(addr(i), "a@example.org", "x"), func() {})
	}
	for kind, want := range [scopes]int{maxKeys, 1, maxKeys, 2 * maxKeys / 256} {
		if n := g.counts[kind].Len(); n < want || n > want+1 {
			t.Errorf("scope %d: remembers %d, want %d", kind, n, want)
		}
	}
	for i := range maxKeys / 10 { // the latest, none of which was the oldest of a sample
		k := loginKey{addressAtMailbox, SiteOf(addr(2*maxKeys - 1 - i)), "a@example.org"}
		if n := failuresOf(g, k); n != 1 {
			t.Fatalf("of the latest but %d it remembers %d failures", i, n)
		}
	}
}

func TestGateBoundsThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{Failures: -1})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, maxWaiting)
		for i := range maxWaiting {
			go func() { ended <- g.Failed(ctx, wrong(client, fmt.Sprint(i), "x"), func() {}) }()
		}
		synctest.Wait()
		start := time.Now()
		if err := g.Failed(ctx, wrong(client, "one more", "x"), func() {}); !errors.Is(err, ErrTooMany) || time.Since(start) != 0 {
			t.Errorf("one too many: %v after %v", err, time.Since(start))
		}
		cancel()
		for range maxWaiting {
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		if g.waiting.Load() != 0 {
			t.Errorf("%d still counted as waiting", g.waiting.Load())
		}
	})
}

func TestZeroGateHasNoLimits(t *testing.T) {
	var g Gate
	for i := range 100 {
		if _, err := g.Admit(client, nil); err != nil {
			t.Fatal(err)
		}
		if err := g.Failed(t.Context(), wrong(client, "a@example.org", fmt.Sprint(i)), func() {}); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Blocked(client, "a@example.org"); err != nil {
		t.Error(err)
	}
}
