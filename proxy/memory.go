package proxy

import (
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// quietHeap gives back what logins and big messages have left behind once a
// program that was busy has gone quiet. The collector runs when the heap has
// doubled, which a server full of sessions that idle may not do for hours; the
// runtime's own two minutes between collections free pages, but keep them.
type quietHeap struct {
	mu      sync.Mutex
	samples [4]metrics.Sample
	cycles  uint64    // collections so far
	since   time.Time // when that number was first seen
}

// heap is the process's, whichever server looks after it.
var heap = quietHeap{samples: [4]metrics.Sample{
	{Name: "/gc/cycles/total:gc-cycles"}, {Name: "/gc/heap/live:bytes"},
	{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
}}

const (
	// heapQuiet is how long no collection must have run: a program that
	// allocates little enough for that spends next to nothing on one more.
	heapQuiet = 10 * time.Second
	// worthwhile is how much there must be to give back, beside a quarter of the heap.
	worthwhile = 2 << 20
)

// tidy collects if it is worthwhile. Call it every few seconds.
func (h *quietHeap) tidy() {
	h.mu.Lock()
	defer h.mu.Unlock()
	metrics.Read(h.samples[:])
	cycles, live := h.samples[0].Value.Uint64(), h.samples[1].Value.Uint64()
	held := h.samples[2].Value.Uint64() + h.samples[3].Value.Uint64() // in use, and kept for use
	now := time.Now()
	if cycles != h.cycles {
		h.cycles, h.since = cycles, now
	}
	if now.Sub(h.since) >= heapQuiet && held > live+live/4+worthwhile {
		debug.FreeOSMemory()
	}
}
