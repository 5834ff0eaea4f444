package frame

import (
	"net/netip"
	"strconv"
	"sync"
	"time"

	"authferry/internal/console/people"
	"authferry/internal/secret"
	"authferry/tokens"
)

// guesses counts failures to sign in, by network, and by network and name: wrong
// ones cost the guesser.
type guesses struct {
	mu     sync.Mutex
	counts map[guesser]*guessed
}

// guesser is a network, or what comes from it for one name.
type guesser struct {
	near netip.Prefix
	name string // hash of the folded name; empty: all of the network
}

// guessers are those that an attempt counts for. An attempt without a name, such
// as one by a link, counts for its network alone.
func guessers(from netip.Addr, name string) []guesser {
	all := []guesser{{near: NetworkOf(from)}}
	if name != "" { // hashed, since it may be as long as a form
		all = append(all, guesser{NetworkOf(from), people.HashToken(secret.String(people.FoldName(name)))})
	}
	return all
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

func newGuesses() *guesses { return &guesses{counts: map[guesser]*guessed{}} }

// wait is how long to wait before the next attempt; 0: none.
func (g *guesses) wait(from netip.Addr, name string, now time.Time) (wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, who := range guessers(from, name) {
		if c := g.counts[who]; c != nil && !c.over(now) {
			wait = max(wait, c.last.Add(c.pause()).Sub(now))
		}
	}
	return wait
}

func (c *guessed) pause() time.Duration {
	if c.failures < freeGuesses {
		return 0
	}
	return min(longestWait, firstWait<<min(c.failures-freeGuesses, 10))
}

// over tells whether the failures no longer count: nothing failed for the longest
// wait, though it might have been tried.
func (c *guessed) over(now time.Time) bool {
	return now.Sub(c.last) > c.pause()+longestWait
}

// failed counts a failure.
func (g *guesses) failed(from netip.Addr, name string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, who := range guessers(from, name) {
		if len(g.counts) >= mostGuessers {
			g.makeRoom(now)
		}
		c := g.counts[who]
		if c == nil || c.over(now) {
			c = &guessed{}
			g.counts[who] = c
		}
		c.failures++
		c.last = now
	}
}

// makeRoom forgets those whose failures no longer count, or, should that
// be nobody, everybody: a flood from so many networks is not what this stops.
func (g *guesses) makeRoom(now time.Time) {
	for n, c := range g.counts {
		if c.over(now) {
			delete(g.counts, n)
		}
	}
	if len(g.counts) >= mostGuessers {
		clear(g.counts)
	}
}

// forget is for who got it right in the end: the failures for that name. Those
// for others stay, or whoever has one password could go on guessing at the rest.
func (g *guesses) forget(from netip.Addr, name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	who := guessers(from, name)
	own, all := g.counts[who[len(who)-1]], g.counts[who[0]]
	if len(who) == 1 || own == nil {
		return
	}
	delete(g.counts, who[1])
	if all != nil {
		all.failures = max(0, all.failures-own.failures)
	}
}

// retryAfter is a wait as HTTP writes it: in whole seconds.
func retryAfter(d time.Duration) string { return strconv.Itoa(int(d/time.Second) + 1) }

// unknownPassword is verified where there is none, so that an answer does not
// tell by its time that there is none.
var unknownPassword = sync.OnceValue(func() secret.String { return tokens.HashChosen(people.NewToken()) })
