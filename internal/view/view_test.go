package view

import (
	"testing"
	"time"
)

func TestExpiryOf(t *testing.T) {
	now := time.Date(2026, 11, 21, 15, 30, 0, 0, time.UTC)
	for _, test := range []struct {
		end  time.Time
		want Expiry
	}{
		{time.Time{}, ""},
		{now.Add(Soon + 1), ""},
		{now.Add(Soon), ExpiresSoon},
		{now.Add(1), ExpiresSoon},
		{now, Expired},
		{now.Add(-time.Hour), Expired},
	} {
		if got := ExpiryOf(test.end, now); got != test.want {
			t.Errorf("%v: %q, want %q", test.end, got, test.want)
		}
	}
}
