// Package gate decides who may connect, how many connections may be open, and how
// often a login may be wrong. These are three rules, each in a file of its own:
//
//  1. access.go: the networks that may connect, and those that may send mail
//     without logging in.
//  2. slots.go: the number of connections. When it is reached, the oldest silent
//     connection that has not logged in is closed.
//  3. logins.go: the number of wrong passwords, counted per address and per
//     mailbox by [Limiter]. An address is known to a mailbox (known.go) after it
//     logged in to it; what unknown addresses do never locks it out.
//
// All servers of a process share one [Gate], so that a guesser gains nothing by
// changing the protocol. The counts are in memory: a restart forgets them.
package gate

import (
	"cmp"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Limits are the settings of a gate. Zero fields take the defaults; negative
// ones mean no limit (Delay: none).
type Limits struct {
	// Allow lists the networks that may connect; empty: all. Loopback always may.
	Allow []netip.Prefix
	// Connections is how many may be open at once; default 10,000. Connections
	// from unknown addresses that have not logged in are at most half of them.
	Connections int
	// ConnectionsPerAddress is how many one address (IPv6: one /64) may have
	// open; loopback is exempt. Default 500: a CRM connects to all its mailboxes
	// from one address.
	ConnectionsPerAddress int
	// Failures is how many different wrong passwords an address may try for one
	// mailbox within Window; default 10. See limitFactor for wider counts.
	Failures int
	// Window is how long failures count; default 10 minutes.
	Window time.Duration
	// Delay is how long the first refusal of a wrong password takes; each
	// further one takes twice as long, up to 15 times Delay. Default 1 s.
	Delay time.Duration
	// Trusted are the networks that send mail without logging in.
	Trusted []Trusted
}

func (l Limits) withDefaults() Limits {
	l.Connections = cmp.Or(l.Connections, 10_000)
	l.ConnectionsPerAddress = cmp.Or(l.ConnectionsPerAddress, 500)
	l.Failures = cmp.Or(l.Failures, 10)
	l.Window = cmp.Or(l.Window, 10*time.Minute)
	l.Delay = cmp.Or(l.Delay, time.Second)
	return l
}

// ErrTooMany reports that an address, a network or a mailbox has had too many
// failures or connections.
var ErrTooMany = errors.New("too many failures or connections")

// Gate applies the three rules. The zero value has no limits; see [New].
type Gate struct {
	mu     sync.Mutex // guards what follows, and the slots
	limits Limits
	slots  slots
	known  knownAddrs
	counts [scopes]Limiter[loginKey]

	queue   loginQueue
	waiting atomic.Int32 // logins that wait for their refusal
}

// New returns a gate.
func New(l Limits) *Gate {
	g := new(Gate)
	g.Configure(l)
	return g
}

// Configure replaces the limits; connections already open stay.
func (g *Gate) Configure(l Limits) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limits = l.withDefaults()
	for i := range g.counts {
		g.counts[i].Life = func(int) time.Duration { return g.limits.Window }
	}
}

// Admit returns a slot for a connection, or the reason to refuse it. Until the
// connection has logged in, drop may be called, once, to close it in favour of
// others: an attacker can open thousands of connections and send nothing, or a
// word a minute.
func (g *Gate) Admit(from netip.Addr, drop func()) (*Slot, error) { return g.admit(from, drop, false) }

// AdmitBalancer returns a slot for a connection that a load balancer makes for
// itself. The setting that names the balancer's network allows it to connect.
func (g *Gate) AdmitBalancer(from netip.Addr, drop func()) (*Slot, error) {
	return g.admit(from, drop, true)
}

func (g *Gate) admit(from netip.Addr, drop func(), balancer bool) (*Slot, error) {
	slot, evicted, err := g.take(from, drop, balancer)
	if evicted != nil {
		evicted.drop()
	}
	return slot, err
}

func (g *Gate) take(from netip.Addr, drop func(), balancer bool) (slot, evicted *Slot, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !balancer && !allowed(g.limits.Allow, from) {
		return nil, nil, errNotAllowed
	}
	slot = &Slot{gate: g, site: SiteOf(from), drop: drop}
	if evicted, err = g.slots.take(&g.limits, from, from.IsLoopback() || g.known.toAny(from, time.Now()), slot); err != nil {
		return nil, nil, err
	}
	return slot, evicted, nil
}

// Evict closes some of the connections that have not logged in: the process has
// no file descriptors left, whatever number of connections the limits allow.
func (g *Gate) Evict() {
	g.mu.Lock()
	var evicted []*Slot
	for range 1 + g.slots.unknown/8 {
		x := g.slots.first(true)
		if x == nil {
			break
		}
		x.release()
		evicted = append(evicted, x)
	}
	g.mu.Unlock()
	for _, x := range evicted {
		x.drop()
	}
}

// Trusted returns the setting for an address that may send mail without logging
// in, or nil.
func (g *Gate) Trusted(from netip.Addr) *Trusted {
	g.mu.Lock()
	defer g.mu.Unlock()
	return narrowest(g.limits.Trusted, from)
}

// SiteOf returns what counts as one address: an IPv4 address, or the /64 that is
// the least an IPv6 site gets (RFC 6177).
func SiteOf(a netip.Addr) netip.Prefix { return prefixOf(a, 32, 64) }

// networkOf returns what one owner is likely to control: a /24, or the /48 that
// is the most an IPv6 site usually gets.
func networkOf(a netip.Addr) netip.Prefix { return prefixOf(a, 24, 48) }

func prefixOf(a netip.Addr, bits4, bits6 int) netip.Prefix {
	bits := bits4
	if a.Is6() {
		bits = bits6
	}
	p, _ := a.WithZone("").Prefix(bits) // the zero prefix of an invalid address
	return p
}
