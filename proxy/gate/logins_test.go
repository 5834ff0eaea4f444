package gate

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const owner = "you@example.org"

var home = netip.MustParseAddr("198.51.100.7")

// guesser returns the nth of very many addresses of both families, each in a
// network of its own and none of them in home's.
func guesser(n int) netip.Addr {
	if n%2 == 0 {
		b := [16]byte{0x20, 0x01, 0x0d, 0xb8}
		binary.BigEndian.PutUint32(b[2:], 0x0db80000|uint32(n))
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte{100, byte(n >> 16), byte(n >> 8), byte(n)})
}

// guess tries one password at a gate, and reports whether it was checked.
func guess(t testing.TB, g *Gate, from netip.Addr, mailbox, password string) bool {
	done, err := g.Begin(context.Background(), from, mailbox)
	if errors.Is(err, ErrTooMany) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Failed(context.Background(), wrong(from, mailbox, password), done); err != nil {
		t.Fatal(err)
	}
	return true
}

// logIn logs in with the right password.
func logIn(g *Gate, from netip.Addr, mailbox string) error {
	done, err := g.Begin(context.Background(), from, mailbox)
	if err != nil {
		return err
	}
	g.Succeeded(from, mailbox)
	done()
	return nil
}

// TestGuessingRun: of 100,000 guesses from as many addresses at two mailboxes, of
// which one does not exist, the gate admits five times as many as it admits from
// one address, for both alike. The owner can log in from home all the time.
func TestGuessingRun(t *testing.T) {
	g := New(Limits{Delay: -1})
	if err := logIn(g, home, owner); err != nil {
		t.Fatal(err)
	}
	checked := map[string]int{}
	for n := range 50_000 {
		for _, mailbox := range []string{owner, "nobody@example.org"} {
			if guess(t, g, guesser(n), mailbox, fmt.Sprint("guess", n)) {
				checked[mailbox]++
			}
		}
		if n%100 == 0 {
			if err := logIn(g, home, owner); err != nil {
				t.Fatalf("after %d guesses the owner is refused: %v", n, err)
			}
		}
	}
	if checked[owner] != 10*limitFactor[unknownAtMailbox] || checked["nobody@example.org"] != 10*limitFactor[unknownAtMailbox] {
		t.Errorf("checked %v, want %d of each", checked, 10*limitFactor[unknownAtMailbox])
	}
	if err := logIn(g, netip.MustParseAddr("198.51.100.200"), owner); err != nil {
		t.Errorf("an address in the owner's network: %v", err)
	}
	if err := logIn(g, netip.MustParseAddr("203.0.113.1"), owner); !errors.Is(err, ErrTooMany) {
		t.Errorf("an unknown address: %v", err)
	}
	if len(g.queue.byMailbox) != 0 {
		t.Errorf("%d mailboxes still have a queue", len(g.queue.byMailbox))
	}
}

// TestGuessingMemory: guesses from very many addresses at as many mailboxes cost
// bounded memory.
func TestGuessingMemory(t *testing.T) {
	g := New(Limits{Delay: -1})
	for n := range 100_000 {
		mailbox := fmt.Sprint(n, "@example.org")
		guess(t, g, guesser(n), mailbox, "guess")
		g.Succeeded(guesser(n+1), mailbox)
	}
	for scope := range g.counts {
		if n := g.counts[scope].Len(); n != maxKeys {
			t.Errorf("scope %d: remembers %d, want %d", scope, n, maxKeys)
		}
	}
	k := &g.known
	if len(k.byMailbox) != maxKeys || len(k.sites) > maxKeys {
		t.Errorf("knows %d and %d, want %d", len(k.byMailbox), len(k.sites), maxKeys)
	}
	for n := range 10 * maxKnownAddrs { // one owner who travels
		g.Succeeded(guesser(n), owner)
	}
	if addrs := k.byMailbox[owner]; len(addrs) != maxKnownAddrs || addrs[0].site != SiteOf(guesser(10*maxKnownAddrs-1)) {
		t.Errorf("knows %v", addrs)
	}
}

func TestUnknownAddressesSlowEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{})
		g.Succeeded(home, owner)
		waited := func(from netip.Addr, password string) time.Duration {
			start := time.Now()
			if !guess(t, g, from, owner, password) {
				t.Error("not checked")
			}
			return time.Since(start)
		}
		for n, want := range []time.Duration{1, 2, 4, 8, 15} {
			if got := waited(guesser(n), fmt.Sprint(n)); got != want*time.Second {
				t.Errorf("guess %d, of another address each, waits %v, want %v", n, got, want*time.Second)
			}
		}
		if got := waited(home, "typing error"); got != time.Second {
			t.Errorf("the owner waits %v for the guesses of others", got)
		}
		before := failuresOf(g, loginKey{unknownAtMailbox, netip.Prefix{}, owner})
		waited(guesser(100), "old")
		for n := range 5 { // the owner's laptop with an old password, on the road
			waited(guesser(101+n), "old")
		}
		if after := failuresOf(g, loginKey{unknownAtMailbox, netip.Prefix{}, owner}); after != before+1 {
			t.Errorf("an old password counts %d times", after-before)
		}
	})
}

// TestSuccessForgetsItsOwn: a right password clears the wrong ones from the same
// address for the same mailbox, and no others.
func TestSuccessForgetsItsOwn(t *testing.T) {
	g := New(Limits{Failures: 3, Delay: -1})
	for n := range 2 {
		guess(t, g, home, owner, fmt.Sprint("a", n))
		guess(t, g, home, "other@example.org", fmt.Sprint("b", n))
	}
	g.Succeeded(home, owner)
	if !guess(t, g, home, owner, "c") || !guess(t, g, home, owner, "d") {
		t.Error("the owner's own typing errors still count")
	}
	guess(t, g, home, "other@example.org", "e")
	if err := g.Blocked(home, "other@example.org"); !errors.Is(err, ErrTooMany) {
		t.Errorf("a login to one mailbox clears guesses at another: %v", err)
	}
	if n := failuresOf(g, loginKey{wholeAddress, SiteOf(home), ""}); n != 7 {
		t.Errorf("the address has %d failures, want 7", n)
	}
	guess(t, g, home, owner, "d") // again: it neither counts nor resets
	guess(t, g, home, owner, "f")
	if err := g.Blocked(home, owner); !errors.Is(err, ErrTooMany) {
		t.Errorf("after three: %v", err)
	}
}

func TestKnownFromBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{Failures: 1, Delay: -1})
		road, past := netip.MustParseAddr("192.0.2.99"), netip.MustParseAddr("192.0.3.99")
		g.Remember(home, "YOU@example.org", time.Now().Add(-time.Hour))
		g.Remember(road, owner, time.Now().Add(time.Minute-knownFor))
		g.Remember(past, owner, time.Now().Add(-knownFor))
		g.Remember(netip.Addr{}, owner, time.Now())
		for n := range limitFactor[unknownAtMailbox] {
			guess(t, g, guesser(n), owner, fmt.Sprint(n))
		}
		for addr, want := range map[netip.Addr]error{home: nil, road: nil, past: ErrTooMany, netip.MustParseAddr("127.0.0.1"): nil} {
			if err := g.Blocked(addr, owner); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", addr, err, want)
			}
		}
		time.Sleep(2 * time.Minute) // of synctest's clock
		if err := g.Blocked(road, owner); !errors.Is(err, ErrTooMany) {
			t.Errorf("where the owner was long ago: %v", err)
		}
	})
}

// TestUnknownAddressesTakeTurns: guesses that arrive together are not checked all
// at once, and those that wait are refused as soon as too many were wrong.
func TestUnknownAddressesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{Delay: -1})
		g.Succeeded(home, owner)
		var now, most, checked atomic.Int32
		var all sync.WaitGroup
		for n := range 500 {
			all.Go(func() {
				done, err := g.Begin(t.Context(), guesser(n), owner)
				if err != nil {
					return
				}
				checked.Add(1)
				for k := now.Add(1); k > most.Load(); {
					most.Store(k)
				}
				time.Sleep(30 * time.Millisecond) // as argon2 takes, by synctest's clock
				now.Add(-1)
				g.Failed(t.Context(), wrong(guesser(n), owner, fmt.Sprint(n)), done)
			})
		}
		synctest.Wait()
		start := time.Now()
		if err := logIn(g, home, owner); err != nil || time.Since(start) != 0 {
			t.Errorf("the owner had to wait: %v, %v", err, time.Since(start))
		}
		all.Wait()
		if n := int(checked.Load()); most.Load() != maxTurns || n > 10*limitFactor[unknownAtMailbox]+maxTurns || n < 10*limitFactor[unknownAtMailbox] {
			t.Errorf("%d checked, %d at once", checked.Load(), most.Load())
		}
		if len(g.queue.byMailbox) != 0 {
			t.Errorf("%d queues left", len(g.queue.byMailbox))
		}
	})
}

func TestTurnsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{})
		var held []func()
		for n := range maxTurns {
			done, err := g.Begin(t.Context(), guesser(n), owner)
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, done)
		}
		start := time.Now()
		if _, err := g.Begin(t.Context(), guesser(100), owner); !errors.Is(err, ErrTooMany) || time.Since(start) != turnWithin {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := g.Begin(ctx, guesser(101), owner); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		for _, done := range held {
			done()
		}
		if len(g.queue.byMailbox) != 0 {
			t.Error("a queue is left")
		}
	})
}

// TestNoTurnsWithoutALimit: turns keep the limit of failures. Without one, logins
// wait for nothing.
func TestNoTurnsWithoutALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{Failures: -1})
		start := time.Now()
		for n := range 2 * maxTurns {
			done, err := g.Begin(t.Context(), guesser(n), owner)
			if err != nil || time.Since(start) != 0 {
				t.Fatalf("login %d: %v after %v", n+1, err, time.Since(start))
			}
			defer done()
		}
	})
}

func BenchmarkBlockedGuess(b *testing.B) {
	g := New(Limits{Delay: -1})
	for n := range 1000 {
		guess(b, g, guesser(n), owner, fmt.Sprint(n))
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if guess(b, g, guesser(n), owner, "guess") {
			b.Fatal("checked")
		}
	}
}

// TestKnownEnds: an address that no mailbox was used from for 30 days is unknown, also
// where it is asked before it names a mailbox.
func TestKnownEnds(t *testing.T) {
	var k knownAddrs
	now := time.Now()
	k.add(home, owner, now)
	k.add(home, "second@example.org", now.Add(-24*time.Hour))
	for _, c := range []struct {
		later time.Duration
		known bool
	}{{0, true}, {knownFor, true}, {knownFor + time.Second, false}} {
		if got := k.toAny(home, now.Add(c.later)); got != c.known {
			t.Errorf("after %v: known %v", c.later, got)
		}
		if got := k.relation(home, owner, now.Add(c.later)) == known; got != c.known {
			t.Errorf("after %v: known to the mailbox %v", c.later, got)
		}
	}
}
