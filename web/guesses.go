package web

import (
	"net/netip"
	"strconv"
	"sync"
	"time"

	"authferry/tokens"
)

// guesses counts failures to sign in, by network: wrong ones cost the guesser.
type guesses struct {
	mu     sync.Mutex
	counts map[netip.Prefix]*guessed
}

type guessed struct {
	failures int
	last     time.Time
}

const (
	// freeGuesses are how often one may be wrong before waiting; each further
	// time doubles the wait, from firstWait to longestWait.
	freeGuesses = 5
	firstWait   = 30 * time.Second
	longestWait = time.Hour
	// mostGuessers bounds what is remembered.
	mostGuessers = 10_000
)

func newGuesses() *guesses { return &guesses{counts: map[netip.Prefix]*guessed{}} }

// network is what counts as one guesser: a single IPv4 address, and the /64 that
// a network of IPv6 is at least.
func network(a netip.Addr) netip.Prefix {
	n := 32
	if a.Is6() {
		n = 64
	}
	p, _ := a.Prefix(n) // the zero prefix of an address that is none
	return p
}

// wait is how long to wait before the next attempt; 0: none.
func (g *guesses) wait(from netip.Addr, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.counts[network(from)]
	if c == nil || c.failures < freeGuesses {
		return 0
	}
	return max(0, c.last.Add(c.pause()).Sub(now))
}

func (c *guessed) pause() time.Duration {
	return min(longestWait, firstWait<<min(c.failures-freeGuesses, 10))
}

// failed counts a failure.
func (g *guesses) failed(from netip.Addr, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.counts) >= mostGuessers {
		g.makeRoom(now)
	}
	c := g.counts[network(from)]
	if c == nil {
		c = &guessed{}
		g.counts[network(from)] = c
	}
	c.failures++
	c.last = now
}

// makeRoom forgets those who have been quiet for longest wait, or, should that
// be nobody, everybody: a flood from so many networks is not what this stops.
func (g *guesses) makeRoom(now time.Time) {
	for n, c := range g.counts {
		if now.Sub(c.last) > longestWait {
			delete(g.counts, n)
		}
	}
	if len(g.counts) >= mostGuessers {
		clear(g.counts)
	}
}

// forget is for who got it right in the end.
func (g *guesses) forget(from netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.counts, network(from))
}

// retryAfter is a wait as HTTP writes it: in whole seconds.
func retryAfter(d time.Duration) string { return strconv.Itoa(int(d/time.Second) + 1) }

// unknownPassword is verified where there is none, so that an answer does not
// tell by its time that there is none.
var unknownPassword = sync.OnceValue(func() tokens.Secret { return tokens.HashChosen(newToken()) })
