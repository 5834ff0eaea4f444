// Package gate decides who may connect, how many connections may be open, and how
// often a login may be wrong.
package gate

import (
	"cmp"
	"errors"
	"net/netip"
	"sync"
	"time"

	"authferry/internal/network"
)

// GateLimits say who may connect and what is too much. Zero fields take the
// defaults; negative ones mean no limit (Delay: none).
type Limits struct {
	// Allow lists the networks that may connect; empty: all. Loopback always may.
	Allow []netip.Prefix
	// Connections is how many may be open at once; default 10,000. Those of
	// strangers that have not logged in are half of them at most.
	Connections int
	// ConnectionsPerAddress is how many one address (IPv6: one /64) may have
	// open; loopback is exempt. Default 500: a CRM comes with all its mailboxes
	// from one address.
	ConnectionsPerAddress int
	// Failures is how many different wrong passwords an address may try for one
	// mailbox within Window; default 10. All its mailboxes together: ten times
	// as many. One mailbox from all strange addresses: five times as many.
	Failures int
	// Window is how long failures are remembered; default 10 minutes.
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

// errTooMany: an address, a network or a mailbox has had too many failures or
// connections.
var ErrTooMany = errors.New("too many failures or connections")

// errNotAllowed: the address is in none of the networks that may connect.
var errNotAllowed = errors.New("the address is not in [gate] allow")

// Gate decides who may connect, how many, and how often they may fail. All
// servers share one, so that a guesser gains nothing by changing the protocol.
// The zero value has no limits; see [NewGate].
//
// What strangers do never keeps those out who have logged in from where they
// are of late: see gate_known.go.
type Gate struct {
	mu     sync.Mutex
	limits Limits

	// gate_seats.go
	total int
	open  map[netip.Prefix]int
	// Those that have not logged in, apart: strangers go first.
	strangers, regulars crowds

	// gate_guesses.go
	failed  failures
	known   known
	judging map[string]*judgement // by mailbox
	waiting int                   // sessions delayed for a wrong password, or waiting for a turn
}

// NewGate returns a gate.
func New(l Limits) *Gate {
	return &Gate{limits: l.withDefaults()}
}

// Configure replaces the limits; connections already open stay.
func (g *Gate) Configure(l Limits) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limits = l.withDefaults()
}

func (g *Gate) allows(from netip.Addr) bool {
	return len(g.limits.Allow) == 0 || from.IsLoopback() || network.Contains(g.limits.Allow, from)
}

// siteOf is what counts as one address: an IPv4 address, or the /64 that is the
// least an IPv6 site gets (RFC 6177).
func siteOf(a netip.Addr) netip.Prefix { return prefixOf(a, 32, 64) }

// networkOf is what one owner is likely to have at hand: a /24, or the /48 that
// is the most an IPv6 site usually gets.
func networkOf(a netip.Addr) netip.Prefix { return prefixOf(a, 24, 48) }

func prefixOf(a netip.Addr, bits4, bits6 int) netip.Prefix {
	bits := bits4
	if a.Is6() {
		bits = bits6
	}
	p, _ := a.WithZone("").Prefix(bits)
	return p
}
