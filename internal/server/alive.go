package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// watched is a listener that can prove that somebody accepts from it: that it
// is open proves nothing, since the kernel goes on queueing connections for a
// program that is stuck.
type watched struct {
	net.Listener
	accepted atomic.Int64
	seen     int64 // accepted at the last look; this and reached are alive's own
	reached  bool  // a probe has been answered once

	mu     sync.Mutex
	probes map[netip.AddrPort]chan struct{} // by the address they come from
}

func watch(ln net.Listener) *watched {
	return &watched{Listener: ln, probes: map[netip.AddrPort]chan struct{}{}}
}

// Accept returns the next connection that is not a probe of alive.
func (w *watched) Accept() (net.Conn, error) {
	for {
		conn, err := w.Listener.Accept()
		if err != nil {
			return nil, err
		}
		w.accepted.Add(1)
		if !w.isProbe(conn) {
			return conn, nil
		}
		conn.Close()
	}
}

func (w *watched) isProbe(conn net.Conn) bool {
	from, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	key := unmapped(from.AddrPort())
	answered := w.probes[key]
	if answered == nil {
		return false
	}
	close(answered)
	delete(w.probes, key)
	return true
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// errStuck says that a listener takes no connections.
var errStuck = errors.New("connections are not accepted")

// alive tells whether connections are accepted: some have been since the last
// time, or one made for the purpose is. It says nothing against a listener that
// cannot be reached from here, such as one behind a packet filter: what no probe
// has ever reached proves nothing by its silence.
func (w *watched) alive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, aliveTime)
	defer cancel()
	accepted := w.accepted.Load()
	moved := accepted != w.seen
	w.seen = accepted
	at, ok := w.Addr().(*net.TCPAddr)
	if moved || !ok {
		return nil
	}
	to := unmapped(at.AddrPort())
	if to.Addr().IsUnspecified() {
		to = netip.AddrPortFrom(loopbackLike(to.Addr()), to.Port())
	}
	from, err := probeAddress(to.Addr())
	if err != nil {
		return nil // out of ports or descriptors, which is another matter
	}
	answered := make(chan struct{})
	w.mu.Lock()
	w.probes[from] = answered
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.probes, from)
		w.mu.Unlock()
	}()
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(from)}
	conn, err := dialer.DialContext(ctx, "tcp", to.String())
	if err != nil && (ctx.Err() == nil || !w.reached) {
		return nil
	}
	if err == nil {
		defer conn.Close()
		select {
		case <-answered:
			w.reached = true
			return nil
		case <-ctx.Done():
		}
	}
	if w.accepted.Load() != accepted {
		return nil // it is only slow
	}
	return fmt.Errorf("%w on %s", errStuck, w.Addr())
}

// loopbackLike is the loopback address at which to reach a listener on every
// address. Where IPv6 is switched off (Docker's default) there is no ::1, but a
// listener at [::] can be open, and takes IPv4.
func loopbackLike(a netip.Addr) netip.Addr {
	if a.Is6() {
		if ln, err := net.Listen("tcp", "[::1]:0"); err == nil {
			ln.Close()
			return netip.IPv6Loopback()
		}
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// probeAddress is an address to connect from. The port has to be known before the
// connection is made: it may be accepted before its maker is told.
func probeAddress(a netip.Addr) (netip.AddrPort, error) {
	ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer ln.Close()
	return unmapped(ln.Addr().(*net.TCPAddr).AddrPort()), nil
}

// aliveTime bounds one look at a listener.
const aliveTime = 5 * time.Second

// alive tells whether every listener accepts.
func (s *Server) alive(ctx context.Context) error {
	s.looking.Lock() // one look at a time: watched.seen
	defer s.looking.Unlock()
	var errs []error
	for _, ln := range s.watched() {
		errs = append(errs, ln.alive(ctx))
	}
	return errors.Join(errs...)
}

// watched are the listeners there are.
func (s *Server) watched() (list []*watched) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ln := range s.listeners {
		if w, ok := ln.(*watched); ok {
			list = append(list, w)
		}
	}
	return list
}
