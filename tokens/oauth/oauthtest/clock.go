package oauthtest

import (
	"sync/atomic"
	"time"
)

// Clock is a clock that a test advances or sets.
type Clock struct{ Ahead, set atomic.Int64 }

func (c *Clock) Now() time.Time {
	t := time.Now().Add(time.Duration(c.Ahead.Load()))
	if set := c.set.Load(); set != 0 { // as if another program set the wall clock
		t = t.Round(0).Add(time.Duration(set))
	}
	return t
}

func (c *Clock) Advance(d time.Duration) { c.Ahead.Add(int64(d)) }

func (c *Clock) SetBy(d time.Duration) { c.set.Add(int64(d)) }
