package proxy

import (
	"sync/atomic"
	"time"

	"authferry/internal/protocol"
)

// Metrics counts what servers have done. The zero value is ready for any number of
// servers.
type Metrics struct {
	protocols [len(protocol.All)]protocolMetrics // as in protocol.All
	turned    atomic.Int64
}

type protocolMetrics struct {
	connections, open, logins, carrying, sent, received atomic.Int64
	refused                                             [len(refusals)]atomic.Int64
	loginTimes                                          histogram
}

// Snapshot is the state of [Metrics] at one moment.
type Snapshot struct {
	Protocols map[protocol.Protocol]ProtocolSnapshot
	// TurnedAway counts connections closed before anything was read.
	TurnedAway int64
}

// ProtocolSnapshot counts what one protocol has done.
type ProtocolSnapshot struct {
	Connections int64            // accepted so far
	Open        int64            // now
	Sessions    int64            // of those, logged in
	Logins      int64            // that succeeded
	Refused     map[string]int64 // logins refused, by the row of the refusal table
	Sent        int64            // bytes from clients to providers after login
	Received    int64            // bytes from providers to clients after login
	LoginTimes  Histogram        // of logins that succeeded: from the login heard to the welcome
}

// Snapshot reads all counters.
func (m *Metrics) Snapshot() Snapshot {
	s := Snapshot{Protocols: make(map[protocol.Protocol]ProtocolSnapshot), TurnedAway: m.turned.Load()}
	for i, name := range protocol.All {
		p := &m.protocols[i]
		refused := make(map[string]int64)
		for r := range p.refused {
			refused[row(r).String()] = p.refused[r].Load()
		}
		s.Protocols[name] = ProtocolSnapshot{
			Connections: p.connections.Load(),
			Open:        p.open.Load(),
			Sessions:    p.carrying.Load(),
			Logins:      p.logins.Load(),
			Refused:     refused,
			Sent:        p.sent.Load(),
			Received:    p.received.Load(),
			LoginTimes:  p.loginTimes.snapshot(),
		}
	}
	return s
}

// of returns the counters of a protocol.
func (m *Metrics) of(p protocol.Protocol) *protocolMetrics {
	for i, name := range protocol.All {
		if name == p {
			return &m.protocols[i]
		}
	}
	panic("proxy: no such protocol: " + string(p))
}

// LoginBounds are the upper bounds of the buckets of [Histogram]. A login with a
// cached token takes a few round trips to the provider, one with a refresh about a
// second, and [Limits].ProviderLogin ends one that takes longer than the last.
var LoginBounds = [...]time.Duration{
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// Histogram counts durations.
type Histogram struct {
	Buckets [len(LoginBounds) + 1]int64 // by bound, each without the ones below it; the last has no bound
	Sum     time.Duration
}

type histogram struct {
	buckets [len(LoginBounds) + 1]atomic.Int64
	sum     atomic.Int64
}

func (h *histogram) add(d time.Duration) {
	i := 0
	for i < len(LoginBounds) && d > LoginBounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(int64(d))
}

func (h *histogram) snapshot() (s Histogram) {
	for i := range h.buckets {
		s.Buckets[i] = h.buckets[i].Load()
	}
	s.Sum = time.Duration(h.sum.Load())
	return s
}

// established counts a login that succeeded and the session it began.
func (m *protocolMetrics) established(took time.Duration) {
	m.logins.Add(1)
	m.carrying.Add(1)
	m.loginTimes.add(took)
}
