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

// guesser is the nth of very many addresses, none of which is home's, of both
// families, and of networks of their own.
func guesser(n int) netip.Addr {
	if n%2 == 0 {
		b := [16]byte{0x20, 0x01, 0x0d, 0xb8}
		binary.BigEndian.PutUint32(b[2:], 0x0db80000|uint32(n))
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte{100, byte(n >> 16), byte(n >> 8), byte(n)})
}

// guess tries one password at a gate, and tells whether it was judged.
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

// comeIn logs in with the right password.
func comeIn(g *Gate, from netip.Addr, mailbox string) error {
	done, err := g.Begin(context.Background(), from, mailbox)
	if err != nil {
		return err
	}
	g.Succeeded(from, mailbox)
	done()
	return nil
}

// TestGuessingRun: 100,000 guesses from as many addresses at two mailboxes, one
// of which nobody has. So many are judged as one guesser in one place may have,
// times five, of both alike; the owner comes in at home all along.
func TestGuessingRun(t *testing.T) {
	g := New(Limits{Delay: -1})
	if err := comeIn(g, home, owner); err != nil {
		t.Fatal(err)
	}
	judged := map[string]int{}
	for n := range 50_000 {
		for _, mailbox := range []string{owner, "nobody@example.org"} {
			if guess(t, g, guesser(n), mailbox, fmt.Sprint("guess", n)) {
				judged[mailbox]++
			}
		}
		if n%100 == 0 {
			if err := comeIn(g, home, owner); err != nil {
				t.Fatalf("after %d guesses the owner is kept out: %v", n, err)
			}
		}
	}
	if judged[owner] != 10*limitFactor[unknownAtMailbox] || judged["nobody@example.org"] != 10*limitFactor[unknownAtMailbox] {
		t.Errorf("judged %v, want %d of each", judged, 10*limitFactor[unknownAtMailbox])
	}
	if err := comeIn(g, netip.MustParseAddr("198.51.100.200"), owner); err != nil {
		t.Errorf("a neighbour of the owner: %v", err)
	}
	if err := comeIn(g, netip.MustParseAddr("203.0.113.1"), owner); !errors.Is(err, ErrTooMany) {
		t.Errorf("a strange address: %v", err)
	}
	if len(g.queue.byMailbox) != 0 {
		t.Errorf("%d mailboxes still have somebody judged", len(g.queue.byMailbox))
	}
}

// TestGuessingMemory: as many addresses at as many mailboxes.
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
	for n := range 10 * maxKnownAddrs { // one owner who roams
		g.Succeeded(guesser(n), owner)
	}
	if addrs := k.byMailbox[owner]; len(addrs) != maxKnownAddrs || addrs[0].site != siteOf(guesser(10*maxKnownAddrs-1)) {
		t.Errorf("knows %v", addrs)
	}
}

func TestStrangersSlowEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{})
		g.Succeeded(home, owner)
		waited := func(from netip.Addr, password string) time.Duration {
			start := time.Now()
			if !guess(t, g, from, owner, password) {
				t.Error("not judged")
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

// TestSuccessForgetsItsOwn: a right password clears the wrong ones of the same
// address and mailbox, and of nobody else.
func TestSuccessForgetsItsOwn(t *testing.T) {
	g := New(Limits{Failures: 3, Delay: -1})
	for n := range 2 {
		guess(t, g, home, owner, fmt.Sprint("a", n))
		guess(t, g, home, "other@example.org", fmt.Sprint("b", n))
	}
	g.Succeeded(home, owner)
	if !guess(t, g, home, owner, "c") || !guess(t, g, home, owner, "d") {
		t.Error("the owner's own typing errors are held against him")
	}
	guess(t, g, home, "other@example.org", "e")
	if err := g.Blocked(home, "other@example.org"); !errors.Is(err, ErrTooMany) {
		t.Errorf("a login to one mailbox pardons guesses at another: %v", err)
	}
	if n := failuresOf(g, loginKey{wholeAddress, siteOf(home), ""}); n != 7 {
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
		time.Sleep(2 * time.Minute) // the bubble's clock, not the world's
		if err := g.Blocked(road, owner); !errors.Is(err, ErrTooMany) {
			t.Errorf("where the owner was long ago: %v", err)
		}
	})
}

// TestStrangersTakeTurns: guesses that come all at once are not judged all at
// once, and what waits meanwhile is not judged at all once it is too many.
func TestStrangersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{Delay: -1})
		g.Succeeded(home, owner)
		var now, most, judged atomic.Int32
		var all sync.WaitGroup
		for n := range 500 {
			all.Go(func() {
				done, err := g.Begin(t.Context(), guesser(n), owner)
				if err != nil {
					return
				}
				judged.Add(1)
				for k := now.Add(1); k > most.Load(); {
					most.Store(k)
				}
				time.Sleep(30 * time.Millisecond) // the bubble's: argon2
				now.Add(-1)
				g.Failed(t.Context(), wrong(guesser(n), owner, fmt.Sprint(n)), done)
			})
		}
		synctest.Wait()
		start := time.Now()
		if err := comeIn(g, home, owner); err != nil || time.Since(start) != 0 {
			t.Errorf("the owner had to wait: %v, %v", err, time.Since(start))
		}
		all.Wait()
		if n := int(judged.Load()); most.Load() != maxTurns || n > 10*limitFactor[unknownAtMailbox]+maxTurns || n < 10*limitFactor[unknownAtMailbox] {
			t.Errorf("%d judged, %d at once", judged.Load(), most.Load())
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

func BenchmarkBlockedGuess(b *testing.B) {
	g := New(Limits{Delay: -1})
	for n := range 1000 {
		guess(b, g, guesser(n), owner, fmt.Sprint(n))
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if guess(b, g, guesser(n), owner, "guess") {
			b.Fatal("judged")
		}
	}
}
