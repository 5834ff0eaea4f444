package proxy

import (
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// quietHeap returns to the system the memory that logins and big messages have
// used, once a busy program is quiet. The collector runs when the heap has doubled,
// which may take hours in a server full of idle sessions; the collection that the
// runtime forces every two minutes frees pages, but keeps them.
type quietHeap struct {
	mu      sync.Mutex
	samples [4]metrics.Sample
	cycles  uint64    // collections so far
	since   time.Time // when that number was first seen
}

// heap is that of the process, which all servers share.
var heap = quietHeap{samples: [4]metrics.Sample{
	{Name: "/gc/cycles/total:gc-cycles"}, {Name: "/gc/heap/live:bytes"},
	{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
}}

const (
	// heapQuiet is how long no collection must have run: one more costs next to
	// nothing in a program that allocates so little.
	heapQuiet = 10 * time.Second
	// worthwhile is how much there must be to free, in addition to a quarter of the
	// heap.
	worthwhile = 2 << 20
)

// tidy collects and frees if that is worthwhile. Call it every few seconds.
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
