// Package testport finds loopback addresses for tests: one that refuses
// connections, and one that a test may listen on later.
package testport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// Refused returns an address that refuses connections until the test ends. The
// port is the local one of an open connection: no listener has it, and the
// system gives it to none, as it might if the port had been freed.
func Refused(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	// A dialer with a local address binds before it connects. Without one,
	// Linux may let a later connection share the port, even with itself.
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}}
	held, err := d.DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ln.Accept()
	if err != nil {
		held.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() { held.Close(); peer.Close() })
	return held.LocalAddr().String()
}

// The range of [Free] is below what systems use for port 0 and for outgoing
// connections: from 32768 on Linux (ip_local_port_range), from 49152 elsewhere
// (RFC 6335 section 6).
const first, last = 20000, 32000

var (
	mu   sync.Mutex
	used = map[int]bool{}
)

// Free returns an address that a test, or a program that it starts, can listen
// on. A port that a listener at port 0 has freed would be anyone's at once.
func Free(t testing.TB) string {
	t.Helper()
	mu.Lock()
	defer mu.Unlock()
	for range 1000 {
		port := first + rand.IntN(last-first)
		if used[port] {
			continue
		}
		used[port] = true
		address := fmt.Sprintf("127.0.0.1:%d", port)
		if ln, err := net.Listen("tcp", address); err == nil {
			ln.Close()
			return address
		}
	}
	t.Fatalf("no free port from %d to %d", first, last)
	return ""
}
