package gate

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"authferry/tokens"
)

// perMailbox, perSite and perNetwork are how many times GateLimits.Failures all
// strangers may fail for one mailbox, and an address and a network over all
// mailboxes. The latter are far above it because the right passwords of a whole
// office may come from behind one address.
const (
	PerMailbox = 5
	perSite    = 10
	perNetwork = 40
)

const (
	// maxWaiting bounds the sessions delayed at once; each costs a goroutine and a
	// connection that the guesser has to keep open too.
	maxWaiting = 1000
	// maxJudged is how many logins of strangers to one mailbox are judged at
	// once: what comes in the meantime would otherwise pass the gate before any
	// of them has been found wrong. A new mail program opens a few connections.
	maxJudged = 4
	// judgedWithin is how long one waits for its turn, which is long when the
	// token endpoint is slow.
	judgedWithin = 10 * time.Second
)

// judgement is what one mailbox's strangers wait for.
type judgement struct {
	turns chan struct{}
	users int // that have a turn or wait for one
}

// Blocked returns errTooMany when an address, or an address for this mailbox,
// or strangers for this mailbox have failed too often.
func (g *Gate) Blocked(from netip.Addr, mailbox string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.blocked(from, foldName(mailbox))
}

func (g *Gate) blocked(from netip.Addr, mailbox string) error {
	now := time.Now()
	for _, k := range keysOf(from, mailbox, g.known.of(from, mailbox, now)) {
		if g.limits.Failures > 0 && g.failed.count(k, now) >= g.limits.Failures*k.patience() {
			return ErrTooMany
		}
	}
	return nil
}

// Begin asks whether a login may be judged, and has strangers take turns. done
// must be called once it has been judged, and counted by Failed if it was wrong.
func (g *Gate) Begin(ctx context.Context, from netip.Addr, mailbox string) (done func(), err error) {
	mailbox = foldName(mailbox)
	j, err := g.queue(from, mailbox)
	if err != nil {
		return nil, err
	}
	if j == nil {
		return func() {}, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, judgedWithin, ErrTooMany)
	defer cancel()
	select {
	case j.turns <- struct{}{}:
	case <-ctx.Done():
		g.unqueue(mailbox, j)
		return nil, context.Cause(ctx)
	}
	done = func() {
		<-j.turns
		g.unqueue(mailbox, j)
	}
	if err := g.Blocked(from, mailbox); err != nil { // by those before it
		done()
		return nil, err
	}
	return done, nil
}

// queue returns what a login has to wait for; nil: nothing.
func (g *Gate) queue(from netip.Addr, mailbox string) (*judgement, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.blocked(from, mailbox); err != nil {
		return nil, err
	}
	if g.limits.Failures <= 0 || g.known.of(from, mailbox, time.Now()) != stranger {
		return nil, nil
	}
	j := g.judging[mailbox]
	if j == nil {
		j = &judgement{turns: make(chan struct{}, maxJudged)}
		if g.judging == nil {
			g.judging = make(map[string]*judgement)
		}
		g.judging[mailbox] = j
	}
	j.users++
	return j, nil
}

func (g *Gate) unqueue(mailbox string, j *judgement) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if j.users--; j.users == 0 {
		delete(g.judging, mailbox)
	}
}

// Succeeded notes a right login. The failures of its address for this mailbox
// are forgotten; those of others, and for others, are not: a guesser may have a
// mailbox of its own here.
func (g *Gate) Succeeded(from netip.Addr, mailbox string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	mailbox = foldName(mailbox)
	g.failed.forget(failureKey{pairFailures, siteOf(from), mailbox})
	g.known.note(from, mailbox, time.Now())
}

// Remember notes a right login of some time ago.
func (g *Gate) Remember(from netip.Addr, mailbox string, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(at) < knownFor && from.IsValid() {
		g.known.note(from, foldName(mailbox), at)
	}
}

// Failed counts a wrong login, calls counted, and waits as long as it has
// earned. It returns errTooMany, at once, when too many are waiting already.
func (g *Gate) Failed(ctx context.Context, l tokens.Login, counted func()) error {
	delay, err := g.note(l)
	counted()
	if err != nil || delay <= 0 {
		return err
	}
	defer func() {
		g.mu.Lock()
		g.waiting--
		g.mu.Unlock()
	}()
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// note counts a wrong login and returns the delay it has earned. With a delay,
// it has also counted the session among those waiting.
func (g *Gate) note(l tokens.Login) (time.Duration, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now, mailbox := time.Now(), foldName(l.User)
	n := g.failed.add(keysOf(l.From, mailbox, g.known.of(l.From, mailbox, now)), l.Password, now, g.limits.Window)
	if g.limits.Delay <= 0 {
		return 0, nil
	}
	if g.waiting >= maxWaiting {
		return 0, ErrTooMany
	}
	g.waiting++
	return min(g.limits.Delay<<min(n-1, 10), 15*g.limits.Delay), nil
}

// foldName is a mailbox, or whatever a program gave for one, as it is counted.
func foldName(user string) string {
	user = strings.ToLower(user)
	user = strings.Clone(user[:min(len(user), 254)]) // RFC 5321 §4.5.3.1.3, without its brackets
	if user == "" {
		user = "nobody" // an empty name is none
	}
	return user
}
