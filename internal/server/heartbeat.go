package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
)

const (
	// heartbeat is how long an accept loop waits for a connection before it turns
	// without one.
	heartbeat = 5 * time.Second
	// stuckAfter is how old the last heartbeat may be. It leaves time for a busy
	// machine and for the pauses of [proxy.Server.Serve] when it is out of
	// descriptors.
	stuckAfter = 3 * heartbeat
)

// beating is a listener whose accept loop leaves a heartbeat. An open listener
// proves nothing: the kernel queues connections for a program that is stuck.
type beating struct {
	*net.TCPListener
	every time.Duration
	last  atomic.Pointer[time.Time] // with its monotonic clock: setting the time is no stop
}

func newBeating(ln *net.TCPListener) *beating {
	b := &beating{TCPListener: ln, every: heartbeat}
	b.beat()
	return b
}

func (b *beating) beat() {
	now := time.Now()
	b.last.Store(&now)
}

// Accept returns the next connection. It waits in steps, and leaves a heartbeat at
// each of them.
func (b *beating) Accept() (net.Conn, error) {
	for {
		b.beat()
		if err := b.SetDeadline(time.Now().Add(b.every)); err != nil {
			return nil, err
		}
		conn, err := b.TCPListener.Accept()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return conn, err
		}
	}
}

// errStuck reports that an accept loop does not turn.
var errStuck = errors.New("connections are not accepted")

// alive returns an error if the accept loop is stuck.
func (b *beating) alive(now time.Time) error {
	if now.Sub(*b.last.Load()) > stuckAfter {
		return fmt.Errorf("%w on %s", errStuck, b.Addr())
	}
	return nil
}
