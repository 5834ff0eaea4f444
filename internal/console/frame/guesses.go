package frame

import (
	"net/netip"
	"strconv"
	"sync"
	"time"

	"authferry/internal/console/people"
	"authferry/internal/secret"
	"authferry/proxy/gate"
	"authferry/tokens"
)

// guesses counts failures to sign in, by address (IPv6: by /64), and by address
// and name. It counts as the gate of mail programs does.
type guesses struct {
	mu      sync.Mutex
	limiter gate.Limiter[guesser]
}

// guesser is an address, or one that tries a name.
type guesser struct {
	site netip.Prefix
	name string // hash of the folded name; empty: all attempts from the address
}

// guessers returns the counts that an attempt adds to. One without a name, such
// as by a link, adds to that of its address alone.
func guessers(from netip.Addr, name string) []guesser {
	all := []guesser{{site: NetworkOf(from)}}
	if name != "" { // hashed, because it may be as long as a form
		all = append(all, guesser{NetworkOf(from), people.HashToken(secret.String(people.FoldName(name)))})
	}
	return all
}

const (
	// freeGuesses is how many failures have no wait. Each further one doubles the
	// wait, from firstWait to longestWait.
	freeGuesses = 5
	firstWait   = 30 * time.Second
	longestWait = time.Hour
)

func newGuesses() *guesses {
	g := new(guesses)
	// Failures count until none was added for the longest wait, although the next
	// attempt was possible.
	g.limiter.Life = func(failures int) time.Duration { return pause(failures) + longestWait }
	return g
}

func pause(failures int) time.Duration {
	if failures < freeGuesses {
		return 0
	}
	return min(longestWait, firstWait<<min(failures-freeGuesses, 10))
}

// wait returns how long the next attempt has to wait; 0: not at all.
func (g *guesses) wait(from netip.Addr, name string, now time.Time) (wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, who := range guessers(from, name) {
		failures, last := g.limiter.Count(who, now)
		wait = max(wait, last.Add(pause(failures)).Sub(now))
	}
	return wait
}

// failed counts a failure.
func (g *guesses) failed(from netip.Addr, name string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, who := range guessers(from, name) {
		g.limiter.Add(who, 0, now)
	}
}

// forget forgets the failures for a name after a successful attempt. Those for
// other names stay: the owner of one password must not guess at the others.
func (g *guesses) forget(from netip.Addr, name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if who := guessers(from, name); len(who) > 1 {
		g.limiter.Subtract(who[0], g.limiter.Forget(who[1]))
	}
}

// retryAfter returns a wait in whole seconds, as HTTP has it (RFC 9110 §10.2.3).
func retryAfter(d time.Duration) string { return strconv.Itoa(int(d/time.Second) + 1) }

// unknownPassword is verified for a name without a password, so that the time of
// the answer does not reveal that there is none.
var unknownPassword = sync.OnceValue(func() secret.String { return tokens.HashChosen(people.NewToken()) })
