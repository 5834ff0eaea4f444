// Package eventlog reports what happens in the simulated Gmail, a line at a time.
package eventlog

import (
	"fmt"
	"strconv"
	"sync"
)

// Log passes lines to a function, one call at a time.
type Log struct {
	mu    sync.Mutex
	write func(line string)
}

// New returns a log that passes lines to write. A nil write drops them.
func New(write func(line string)) *Log { return &Log{write: write} }

// Printf reports an event.
func (l *Log) Printf(format string, args ...any) {
	if l.write == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write(fmt.Sprintf(format, args...))
}

// Quote makes text from a peer fit for a log line: it is cut, and quoted if it
// has characters that a line must not have.
func Quote(s string) string {
	if len(s) > 160 {
		s = s[:160] + "..."
	}
	if q := strconv.Quote(s); q != `"`+s+`"` {
		return q
	}
	return s
}
