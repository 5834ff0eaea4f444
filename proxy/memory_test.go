package proxy

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestHeapIsTidiedWhenQuiet(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // only what the test asks for
	h := quietHeap{samples: heap.samples}
	collects := func() bool {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		h.tidy()
		runtime.ReadMemStats(&after)
		return after.NumGC != before.NumGC
	}
	// A quarter of what lives is worth no collection: beside this, what the goroutines
	// of other tests still allocate is not.
	alive := make([]byte, 128<<20)
	defer runtime.KeepAlive(alive)
	debug.FreeOSMemory()
	h.tidy()
	h.since = time.Now().Add(-heapQuiet)
	if collects() {
		t.Error("collected with nothing to free")
	}
	kept = make([]byte, 96<<20)
	kept = nil
	h.since = time.Now()
	if collects() {
		t.Error("collected in a program that is busy")
	}
	h.since = time.Now().Add(-heapQuiet)
	if !collects() {
		t.Error("kept 96 MB of garbage")
	}
}

var kept []byte
