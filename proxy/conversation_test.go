package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"authferry/proxy/gate"
	"authferry/proxy/relay"
)

func TestBeginsTLS(t *testing.T) {
	for says, want := range map[string]bool{
		"\x16\x03\x01\x02\x00": true, "\x80\x2e\x01\x03\x01": true, "a LOGIN x y\r\n": false, "\x00": false, "": false,
	} {
		ours, theirs := tcpPair(t)
		io.WriteString(theirs, says)
		wait := patient
		if says == "" {
			wait = 10 * time.Millisecond
		}
		w := relay.NewWire(ours)
		if got, err := beginsTLS(w, wait); got != want || err != nil {
			t.Errorf("%q: %v, %v", says, got, err)
		}
		theirs.Close()
		w.SetDeadline(time.Now().Add(patient))
		if all, err := io.ReadAll(w); string(all) != says || err != nil {
			t.Errorf("%q: left %q, %v", says, all, err)
		}
	}
}

// elsewhere is a listener whose connections seem to come from another machine.
type elsewhere struct{ net.Listener }

type elsewhereConn struct{ net.Conn }

func (l elsewhere) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return elsewhereConn{c}, err
}

func (elsewhereConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.7:40000"))
}

// TestWhoMayConnect: a load balancer's own connections are admitted under any
// allow; clients that it cannot name, and other machines, are not.
func TestWhoMayConnect(t *testing.T) {
	for _, tt := range []struct {
		name, header string
		balancer, in bool
	}{
		{"a machine that may not", "", false, false},
		{"a health check", binaryHeader(t, "20 00 0000"), true, true},
		{"somebody unknown", "PROXY UNKNOWN\r\n", true, false},
		{"somebody who may", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", true, true},
		{"somebody who may not", "PROXY TCP4 203.0.113.1 192.0.2.2 1 2\r\n", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			networks := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
			p := startProvider(t, &fakeProvider{protocol: "pop3", after: echo})
			w := startWhole(t, p, Plain, func(s *Server) {
				s.Gate, s.Allow = gate.New(gate.Limits{Allow: networks}), networks
				if tt.balancer {
					s.ProxyFrom = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
				}
			})
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- w.Serve(elsewhere{ln}) }()
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patient))
			io.WriteString(c, tt.header)
			var b [3]byte
			if _, err := io.ReadFull(c, b[:]); err != nil || (string(b[:]) == "+OK") != tt.in {
				t.Errorf("greeted with %q, %v", b, err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			w.Shutdown(ctx)
			if err := <-served; !errors.Is(err, ErrServerClosed) {
				t.Error(err)
			}
		})
	}
}
