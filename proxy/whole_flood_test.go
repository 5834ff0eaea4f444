package proxy

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/zap/zaptest/observer"

	"authferry/proxy/gate"
)

// flood opens silent connections, from many networks and one very crowded one.
func (w *whole) flood(connections int) {
	w.t.Helper()
	for n := range connections {
		from := guesser(n)
		if n%2 == 0 {
			from = netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})
		}
		_, c, err := w.dialFrom(from)
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { c.Close() })
	}
}

// TestFlood: far more silent connections than there are slots, and slow ones that
// send half a word. A login still succeeds from an unknown address and from a known
// one, and a session that is logged in stays.
func TestFlood(t *testing.T) {
	w, _ := startBalanced(t, gate.Limits{Connections: 64, Delay: -1})
	r, stays, err := w.dialFrom(home)
	if err != nil {
		t.Fatal(err)
	}
	defer stays.Close()
	say := func(text, want string) {
		t.Helper()
		if _, err := io.WriteString(stays, text); err != nil {
			t.Fatal(err)
		}
		if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, want) {
			t.Fatalf("%q, %v, want %q", line, err, want)
		}
	}
	say("", "* OK")
	say("a LOGIN "+owner+" "+w.password+"\r\n", "a OK")
	for round := range 5 {
		w.flood(100)
		for _, from := range []netip.Addr{home, netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("2001:db8:ffff::1")} {
			if line, err := w.tryFrom(from, owner, w.password); err != nil || !strings.HasPrefix(line, "a OK") {
				t.Fatalf("round %d: %s is told %q, %v", round, from, line, err)
			}
		}
		say("b NOOP\r\n", "b NOOP") // the provider of this test echoes
	}
	if open := w.Metrics.Snapshot().Protocols["imap"].Open; open > 64 {
		t.Errorf("%d are open", open)
	}
}

// TestDroppedSessionsSaySo: a connection that is evicted ends at once, and the log
// names the limit.
func TestDroppedSessionsSaySo(t *testing.T) {
	var logs *observer.ObservedLogs
	w, _ := startBalanced(t, gate.Limits{Connections: 2}, func(s *Server) { logs = observed(s) })
	r, first, err := w.dialFrom(netip.MustParseAddr("192.0.2.1"))
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	_, second, err := w.dialFrom(netip.MustParseAddr("192.0.2.2"))
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if _, err := r.ReadString('\n'); err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("it reads on: %v", err)
	}
	until(t, func() bool { return w.Metrics.Snapshot().Protocols["imap"].Open == 1 })
	line := logs.FilterMessage("session ended").All()[0].ContextMap()
	if s, _ := line["error"].(string); line["client"] != "192.0.2.1:50000" || !strings.Contains(s, "raise connections in [gate]") {
		t.Errorf("logged %v", line)
	}
}

// BenchmarkFlood is one more silent connection beyond 10,000, at the gate.
func BenchmarkFlood(b *testing.B) {
	g := gate.New(gate.Limits{})
	drop := func() {}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if _, err := g.Admit(guesser(n), drop); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoginUnderFlood is a login while 10,000 silent connections, or as
// many as there are descriptors for, are open.
func BenchmarkLoginUnderFlood(b *testing.B) {
	w, _ := startBalanced(b, gate.Limits{Delay: -1})
	opened := 0
	for ; opened < 10_000; opened++ {
		_, c, err := w.dialFrom(guesser(opened))
		if err != nil {
			b.Logf("%d connections: %v", opened, err)
			break
		}
		b.Cleanup(func() { c.Close() })
	}
	for b.Loop() {
		if line, err := w.tryFrom(home, owner, w.password); err != nil || !strings.HasPrefix(line, "a OK") {
			b.Fatal(line, err)
		}
	}
	b.ReportMetric(float64(opened), "silent")
}
