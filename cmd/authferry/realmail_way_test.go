//go:build realmail

package main

import (
	"io"
	"net"
	"sync"
	"testing"
)

// way forwards connections to the token endpoint, and can be closed: the simulated
// service itself has faults, but always accepts connections.
type way struct {
	address, to string

	mu      sync.Mutex
	ln      net.Listener
	conns   []net.Conn
	running sync.WaitGroup
}

func openWay(t *testing.T, to string) *way {
	t.Helper()
	w := &way{address: "127.0.0.1:0", to: to}
	w.open(t)
	w.address = w.ln.Addr().String()
	t.Cleanup(func() {
		w.close()
		w.running.Wait()
	})
	return w
}

// open forwards connections, always on the same port.
func (w *way) open(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.ln = ln
	w.mu.Unlock()
	w.running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			w.running.Go(func() { w.carry(c) })
		}
	})
}

func (w *way) carry(c net.Conn) {
	defer c.Close()
	far, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer far.Close()
	w.mu.Lock()
	w.conns = append(w.conns, c, far)
	w.mu.Unlock()
	w.running.Go(func() {
		io.Copy(far, c)
		far.(*net.TCPConn).CloseWrite()
	})
	io.Copy(c, far)
}

// close cuts connections, and refuses further ones.
func (w *way) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ln.Close()
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}
