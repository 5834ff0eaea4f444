package tokens

import (
	"sync/atomic"
	"time"
)

// clock is a time that moves when it is told to.
type clock struct{ ahead, set atomic.Int64 }

func (c *clock) now() time.Time {
	t := time.Now().Add(time.Duration(c.ahead.Load()))
	if set := c.set.Load(); set != 0 { // as if another program had set the wall clock
		t = t.Round(0).Add(time.Duration(set))
	}
	return t
}

func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

func (c *clock) setBy(d time.Duration) { c.set.Add(int64(d)) }
