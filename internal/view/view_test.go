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
		{now.Add(soon + 1), ""},
		{now.Add(soon), expiresSoon},
		{now.Add(1), expiresSoon},
		{now, expired},
		{now.Add(-time.Hour), expired},
	} {
		if got := expiryOf(test.end, now); got != test.want {
			t.Errorf("%v: %q, want %q", test.end, got, test.want)
		}
	}
}
