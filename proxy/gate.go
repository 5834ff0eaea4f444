package proxy

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"authferry/tokens"
)

// GateLimits say who may connect and what is too much. Zero fields take the
// defaults; negative ones mean no limit (Delay: none).
type GateLimits struct {
	// Allow lists the networks that may connect; empty: all. Loopback always may.
	Allow []netip.Prefix
	// Connections is how many may be open at once; default 10,000.
	Connections int
	// ConnectionsPerAddress is how many one address (IPv6: one /64) may have
	// open; loopback is exempt. Default 500: a CRM comes with all its mailboxes
	// from one address.
	ConnectionsPerAddress int
	// Failures is how many different wrong passwords an address may try for one
	// mailbox within Window; default 10. All its mailboxes together: ten times
	// as many.
	Failures int
	// Window is how long failures are remembered; default 10 minutes.
	Window time.Duration
	// Delay is how long the first refusal of a wrong password takes; each
	// further one takes twice as long, up to 15 times Delay. Default 1 s.
	Delay time.Duration
	// Trusted are the networks that send mail without logging in.
	Trusted []Trusted
}

func (l GateLimits) withDefaults() GateLimits {
	l.Connections = cmp.Or(l.Connections, 10_000)
	l.ConnectionsPerAddress = cmp.Or(l.ConnectionsPerAddress, 500)
	l.Failures = cmp.Or(l.Failures, 10)
	l.Window = cmp.Or(l.Window, 10*time.Minute)
	l.Delay = cmp.Or(l.Delay, time.Second)
	return l
}

// errNotAllowed: the address is in none of the networks that may connect.
var errNotAllowed = errors.New("the address is not in [gate] allow")

// Gate decides who may connect, how many, and how often they may fail. All
// servers share one, so that a guesser gains nothing by changing the protocol.
// The zero value has no limits; see [NewGate].
type Gate struct {
	mu      sync.Mutex
	limits  GateLimits
	total   int
	open    map[netip.Prefix]int
	failed  failures
	waiting int // sessions delayed for a wrong password
}

// NewGate returns a gate.
func NewGate(l GateLimits) *Gate {
	return &Gate{limits: l.withDefaults()}
}

// Configure replaces the limits; connections already open stay.
func (g *Gate) Configure(l GateLimits) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limits = l.withDefaults()
}

// Admit counts a connection in, or says why not. Call leave when it has ended.
func (g *Gate) Admit(from netip.Addr) (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.allows(from) {
		return nil, errNotAllowed
	}
	return g.enter(from)
}

// AdmitBalancer counts a load balancer's own connection in. What names a
// balancer has allowed it already.
func (g *Gate) AdmitBalancer(from netip.Addr) (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.enter(from)
}

func (g *Gate) enter(from netip.Addr) (leave func(), err error) {
	site := siteOf(from)
	most, mostHere := g.limits.Connections, g.limits.ConnectionsPerAddress
	if most > 0 && g.total >= most || mostHere > 0 && g.open[site] >= mostHere && !from.IsLoopback() {
		return nil, errTooMany
	}
	if g.open == nil {
		g.open = make(map[netip.Prefix]int)
	}
	g.total++
	g.open[site]++
	return func() { g.leave(site) }, nil
}

func (g *Gate) allows(from netip.Addr) bool {
	return len(g.limits.Allow) == 0 || from.IsLoopback() || within(g.limits.Allow, from)
}

// within tells whether an address is in one of some networks.
func within(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

func (g *Gate) leave(site netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.total--
	if g.open[site]--; g.open[site] <= 0 {
		delete(g.open, site)
	}
}

// siteOf is what counts as one address: an IPv4 address, or the /64 that is the
// least an IPv6 site gets (RFC 6177).
func siteOf(a netip.Addr) netip.Prefix { return network(a, 64) }

func network(a netip.Addr, bits6 int) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = bits6
	}
	p, _ := a.WithZone("").Prefix(bits)
	return p
}

// perSite and perNetwork are how many times GateLimits.Failures an address and
// an IPv6 /48 may fail over all mailboxes. They are far above it because the
// right passwords of a whole office may come from behind one address.
const (
	perSite    = 10
	perNetwork = 40
)

// Blocked returns errTooMany when an address, or an address for this mailbox,
// has failed too often.
func (g *Gate) Blocked(from netip.Addr, user string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	for _, k := range keysOf(from, user) {
		if g.limits.Failures > 0 && g.failed.count(k, now) >= g.limits.Failures*k.patience() {
			return errTooMany
		}
	}
	return nil
}

// maxWaiting bounds the sessions delayed at once; each costs a goroutine and a
// connection that the guesser has to keep open too.
const maxWaiting = 1000

// Failed counts a wrong login and waits as long as it has earned. It returns
// errTooMany, at once, when too many are waiting already.
func (g *Gate) Failed(ctx context.Context, l tokens.Login) error {
	delay, err := g.note(l)
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
	n := g.failed.add(keysOf(l.From, l.User), l.Password, time.Now(), g.limits.Window)
	if g.limits.Delay <= 0 {
		return 0, nil
	}
	if g.waiting >= maxWaiting {
		return 0, errTooMany
	}
	g.waiting++
	return min(g.limits.Delay<<min(n-1, 10), 15*g.limits.Delay), nil
}
