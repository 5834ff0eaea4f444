package mailserver

import (
	"net"
	"sync"
)

// door hands connections to an engine that only knows how to accept them.
type door struct {
	in      chan net.Conn
	open    chan struct{} // closed when the engine first waits at it
	opening sync.Once
	closed  chan struct{}
	closing sync.Once
}

func newDoor() *door {
	return &door{in: make(chan net.Conn), open: make(chan struct{}), closed: make(chan struct{})}
}

// hand passes c to the engine, and reports false if the engine has ended.
func (d *door) hand(c net.Conn) bool {
	select {
	case d.in <- c:
		return true
	case <-d.closed:
		return false
	}
}

func (d *door) Accept() (net.Conn, error) {
	d.opening.Do(func() { close(d.open) })
	select {
	case c := <-d.in:
		return c, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

func (d *door) Close() error {
	d.closing.Do(func() { close(d.closed) })
	return nil
}

func (d *door) Addr() net.Addr { return &net.UnixAddr{Name: "after login", Net: "unix"} }
