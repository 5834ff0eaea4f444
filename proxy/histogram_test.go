package proxy

import (
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	var h histogram
	h.add(0)
	h.add(LoginBounds[0]) // a bound belongs to its bucket: le="0.01"
	h.add(LoginBounds[0] + 1)
	h.add(time.Hour)
	got, want := h.snapshot(), Histogram{Sum: time.Hour + 2*LoginBounds[0] + 1}
	want.Buckets[0], want.Buckets[1], want.Buckets[len(LoginBounds)] = 2, 1, 1
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
