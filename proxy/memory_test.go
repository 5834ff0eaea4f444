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
	debug.FreeOSMemory()
	h.tidy()
	h.since = time.Now().Add(-heapQuiet)
	if collects() {
		t.Error("collected with nothing to give back")
	}
	kept = make([]byte, 64<<20)
	kept = nil
	h.since = time.Now()
	if collects() {
		t.Error("collected in a program that is busy")
	}
	h.since = time.Now().Add(-heapQuiet)
	if !collects() {
		t.Error("kept 64 MB of garbage")
	}
}

var kept []byte
