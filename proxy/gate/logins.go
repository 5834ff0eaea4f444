package gate

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"strings"
	"sync"
	"time"

	"authferry/internal/secret"
	"authferry/tokens"
)

const (
	// maxWaiting bounds the logins that wait for their refusal; each costs a
	// goroutine and a connection that the guesser has to keep open too.
	maxWaiting = 1000
	// maxTurns is how many logins from unknown addresses to one mailbox are
	// checked at once: without a bound, all that arrive together would pass before
	// the first is found wrong. A new mail program opens a few connections.
	maxTurns = 4
	// turnWithin is how long a login waits for its turn, which takes long when
	// the token endpoint is slow.
	turnWithin = 10 * time.Second
)

// scope is what a wrong password counts against. Each has a limiter of its own:
// a flood from many addresses displaces only other addresses, and no mailbox.
type scope int

const (
	addressAtMailbox scope = iota
	unknownAtMailbox       // all unknown addresses at one mailbox
	wholeAddress           // an address at all mailboxes
	wholeNetwork           // a network at all mailboxes
	scopes
)

// limitFactor is how many times [Limits].Failures each scope may reach. It is
// high for all mailboxes together: a whole office may log in from one address.
var limitFactor = [scopes]int{addressAtMailbox: 1, unknownAtMailbox: 5, wholeAddress: 10, wholeNetwork: 40}

// loginKey is one count; from and mailbox are set if the scope is about them.
type loginKey struct {
	scope   scope
	from    netip.Prefix
	mailbox string
}

// keysOf lists the counts that a wrong password adds to, and that may refuse a
// login. A known address has no part in the counts of unknown ones, so that they
// cannot lock out the owner.
func keysOf(from netip.Addr, mailbox string, r relation) []loginKey {
	keys := []loginKey{{addressAtMailbox, SiteOf(from), mailbox}, {scope: wholeAddress, from: SiteOf(from)}}
	if r < known {
		keys = append(keys, loginKey{scope: wholeNetwork, from: networkOf(from)})
	}
	if r < sameNetwork {
		keys = append(keys, loginKey{scope: unknownAtMailbox, mailbox: mailbox})
	}
	return keys
}

// Blocked returns [ErrTooMany] if too many logins have failed from an address or
// its network, from it to this mailbox, or from unknown addresses to this mailbox.
func (g *Gate) Blocked(from netip.Addr, mailbox string) error {
	_, err := g.blocked(from, foldName(mailbox))
	return err
}

// blocked also reports whether a login takes turns with others. Turns keep the
// limit of failures, so without one there are none.
func (g *Gate) blocked(from netip.Addr, mailbox string) (takesTurns bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.limits.Failures <= 0 {
		return false, nil
	}
	now := time.Now()
	r := g.known.relation(from, mailbox, now)
	for _, k := range keysOf(from, mailbox, r) {
		if n, _ := g.counts[k.scope].Count(k, now); n >= g.limits.Failures*limitFactor[k.scope] {
			return false, ErrTooMany
		}
	}
	return r == unknown, nil
}

// Begin asks whether a password may be checked now. Logins from unknown
// addresses to one mailbox wait for their turn. Call done after the password has
// been checked and, if it was wrong, counted by Failed.
func (g *Gate) Begin(ctx context.Context, from netip.Addr, mailbox string) (done func(), err error) {
	mailbox = foldName(mailbox)
	takesTurns, err := g.blocked(from, mailbox)
	if err != nil {
		return nil, err
	}
	if !takesTurns {
		return func() {}, nil
	}
	if done, err = g.queue.enter(ctx, mailbox); err != nil {
		return nil, err
	}
	if _, err := g.blocked(from, mailbox); err != nil { // by the logins before it
		done()
		return nil, err
	}
	return done, nil
}

// Succeeded notes a successful login. The failures of its address for this
// mailbox are forgotten. Those of other addresses, and for other mailboxes, are
// not: an attacker may own a mailbox here.
func (g *Gate) Succeeded(from netip.Addr, mailbox string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	mailbox = foldName(mailbox)
	g.counts[addressAtMailbox].Forget(loginKey{addressAtMailbox, SiteOf(from), mailbox})
	g.known.add(from, mailbox, time.Now())
}

// Remember notes a successful login of the past.
func (g *Gate) Remember(from netip.Addr, mailbox string, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(at) < knownFor && from.IsValid() {
		g.known.add(from, foldName(mailbox), at)
	}
}

// Failed counts a wrong password, calls counted, and waits before the login is
// refused, longer with each failure. It returns [ErrTooMany] at once if too many
// logins wait already.
func (g *Gate) Failed(ctx context.Context, l tokens.Login, counted func()) error {
	delay := g.count(l)
	counted()
	if delay <= 0 {
		return nil
	}
	defer g.waiting.Add(-1)
	if g.waiting.Add(1) > maxWaiting {
		return ErrTooMany
	}
	select {
	case <-time.After(delay):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// count counts a wrong password and returns the delay of its refusal, which grows
// with the different passwords that this address, or all unknown ones, tried for
// the mailbox. The same password again is a program with an old password and not
// a guess: it is not counted.
func (g *Gate) count(l tokens.Login) time.Duration {
	mailbox, now := foldName(l.User), time.Now()
	event := eventOf(mailbox, l.Password)
	g.mu.Lock()
	defer g.mu.Unlock()
	keys, tried := keysOf(l.From, mailbox, g.known.relation(l.From, mailbox, now)), 0
	if g.counts[addressAtMailbox].Add(keys[0], event, now) {
		for _, k := range keys[1:] {
			g.counts[k.scope].Add(k, event, now)
		}
	}
	for _, k := range keys {
		if n, _ := g.counts[k.scope].Count(k, now); k.scope == addressAtMailbox || k.scope == unknownAtMailbox {
			tried = max(tried, n)
		}
	}
	return min(g.limits.Delay<<min(max(0, tried-1), 10), 15*g.limits.Delay)
}

// passwordKey keys the hashes of wrong passwords. It is never stored.
var passwordKey = sync.OnceValue(func() []byte {
	key := make([]byte, sha256.Size)
	rand.Read(key)
	return key
})

// eventOf returns a hash of a password tried for a mailbox, which only this
// process can compute.
func eventOf(mailbox string, password secret.String) uint64 {
	mac := hmac.New(sha256.New, passwordKey())
	mac.Write([]byte(mailbox + "\x00" + password.Reveal()))
	return binary.BigEndian.Uint64(mac.Sum(nil))
}

// loginQueue makes logins to one mailbox take turns.
type loginQueue struct {
	mu        sync.Mutex
	byMailbox map[string]*turns
}

type turns struct {
	taken  chan struct{}
	logins int // that have or wait for a turn
}

// enter waits for a turn; leave ends it.
func (q *loginQueue) enter(ctx context.Context, mailbox string) (leave func(), err error) {
	q.mu.Lock()
	t := q.byMailbox[mailbox]
	if t == nil {
		if q.byMailbox == nil {
			q.byMailbox = make(map[string]*turns)
		}
		t = &turns{taken: make(chan struct{}, maxTurns)}
		q.byMailbox[mailbox] = t
	}
	t.logins++
	q.mu.Unlock()
	gone := func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if t.logins--; t.logins == 0 {
			delete(q.byMailbox, mailbox)
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, turnWithin, ErrTooMany)
	defer cancel()
	select {
	case t.taken <- struct{}{}:
		return func() { <-t.taken; gone() }, nil
	case <-ctx.Done():
		gone()
		return nil, context.Cause(ctx)
	}
}

// foldName returns a mailbox, or what a program sent as one, as it is counted.
func foldName(user string) string {
	user = strings.ToLower(user)
	return strings.Clone(user[:min(len(user), 254)]) // RFC 5321 §4.5.3.1.3, without its brackets
}
