package proxy

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"authferry/proxy/relay"
)

// tcpPair is a connection of TCP over loopback, seen from both ends.
func tcpPair(t testing.TB) (ours, theirs *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	a, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

// pair returns two ends of a connection, one of them read by lines.
func pair(t testing.TB) (*relay.Conn, net.Conn) {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return relay.NewConn(relay.NewWire(ours)), theirs
}

// random returns bytes that no two calls share.
func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(rand.Int()), byte(rand.Int()), byte(n)}).Read(b)
	return b
}

const owner = "you@example.org"

var home = netip.MustParseAddr("198.51.100.7")

// guesser returns the nth of very many addresses of both families, each in a
// network of its own and none of them in home's.
func guesser(n int) netip.Addr {
	if n%2 == 0 {
		b := [16]byte{0x20, 0x01, 0x0d, 0xb8}
		binary.BigEndian.PutUint32(b[2:], 0x0db80000|uint32(n))
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte{100, byte(n >> 16), byte(n >> 8), byte(n)})
}
