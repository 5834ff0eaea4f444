package proxy

import (
	"sync/atomic"
	"time"
)

// LoginBounds are the upper bounds of the buckets of [Histogram]. A login with a
// cached token takes a few round trips to the provider, one with a refresh a
// second or so, and [Limits].ProviderLogin ends what takes longer than the last.
var LoginBounds = [...]time.Duration{
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// Histogram tells how long things took.
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
