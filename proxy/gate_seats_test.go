package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/zap/zaptest/observer"
)

// seats admits connections and notes who is dropped.
type seats struct {
	*testing.T
	gate    *Gate
	dropped []string
}

func (s *seats) admit(addr string) *Seat {
	s.Helper()
	seat, err := s.gate.Admit(netip.MustParseAddr(addr), func() { s.dropped = append(s.dropped, addr) })
	if err != nil {
		s.Fatalf("%s: %v", addr, err)
	}
	return seat
}

// wants looks who was dropped since the last time.
func (s *seats) wants(addrs ...string) {
	s.Helper()
	if fmt.Sprint(s.dropped) != fmt.Sprint(addrs) {
		s.Errorf("dropped %v, want %v", s.dropped, addrs)
	}
	s.dropped = nil
}

// TestWhoMakesRoom: a full half of silent strangers; the next one takes the
// place of the oldest in the most crowded network.
func TestWhoMakesRoom(t *testing.T) {
	s := &seats{T: t, gate: NewGate(GateLimits{Connections: 12})}
	s.admit("192.0.2.1")
	talker := s.admit("198.51.100.1")
	s.admit("198.51.100.2")
	s.admit("198.51.100.3")
	s.admit("2001:db8:1:1::1")
	s.admit("2001:db8:1:2::1")
	talker.Spoke()
	talker.Spoke()
	s.wants()
	s.admit("203.0.113.1")
	s.wants("198.51.100.2") // three in one /24; the oldest of them that is silent
	s.admit("203.0.113.2")
	s.wants("2001:db8:1:1::1") // two in each; this /48 was at two first
	s.admit("203.0.113.3")
	s.wants("198.51.100.3") // two in each; now this one, whose other has spoken
	s.admit("203.0.113.4")
	s.wants("203.0.113.1")
	talker.LoggedIn()
	s.admit("203.0.113.5")
	s.wants()
	if s.gate.total != 7 || s.gate.strangers.total != 6 {
		t.Errorf("%d in all, %d strangers that have not logged in", s.gate.total, s.gate.strangers.total)
	}
}

// TestOnlyTalkersLeft: those that say a word now and then are dropped as well,
// when there is nobody silent.
func TestOnlyTalkersLeft(t *testing.T) {
	s := &seats{T: t, gate: NewGate(GateLimits{Connections: 4})}
	s.admit("192.0.2.1").Spoke()
	s.admit("198.51.100.1").Spoke()
	s.admit("203.0.113.1")
	s.wants("192.0.2.1")
	s.admit("203.0.114.1")
	s.wants("203.0.113.1")
}

// TestPlacesKeptFree: who is known or on this machine gets in when strangers
// that are logged in have all other places, and takes that of a stranger first.
func TestPlacesKeptFree(t *testing.T) {
	s := &seats{T: t, gate: NewGate(GateLimits{Connections: 32})}
	s.gate.Succeeded(home, owner)
	for n := range 29 {
		s.admit(guesser(n).String()).LoggedIn()
	}
	s.admit("192.0.2.0")
	s.admit("192.0.2.1")
	s.wants("192.0.2.0") // two places are still free, but not for strangers
	if _, err := s.gate.Admit(netip.MustParseAddr("127.0.0.1"), nil); err != nil {
		t.Error(err)
	}
	s.admit(home.String())
	s.wants()
	s.admit("192.0.2.2") // of the strangers the other one
	s.wants("192.0.2.1")
	s.admit(home.String())
	s.wants("192.0.2.2")
	if _, err := s.gate.Admit(netip.MustParseAddr("192.0.2.3"), func() {}); !errors.Is(err, errTooMany) {
		t.Errorf("a stranger: %v", err)
	}
	s.admit(home.String()) // full: now they drop each other
	s.wants(home.String())
}

// TestCrowdsAreCounted: through any order of coming and going nothing is lost.
func TestCrowdsAreCounted(t *testing.T) {
	g := NewGate(GateLimits{Connections: 200, ConnectionsPerAddress: -1})
	var live []*Seat
	for n := range 20_000 {
		seat, err := g.Admit(netip.AddrFrom4([4]byte{10, 0, byte(n * n % 11), byte(n % 7)}), func() {})
		if err != nil {
			t.Fatal(err)
		}
		live = append(live, seat)
		switch i := n * 7919 % len(live); n % 5 {
		case 0:
			live[i].Spoke()
		case 1:
			live[i].LoggedIn()
			live[i].Leave()
		case 2:
			live[i].Leave()
		}
		if n%1000 == 0 {
			g.shed()
		}
	}
	for _, seat := range live {
		seat.Leave()
	}
	if g.total != 0 || len(g.open) != 0 || g.strangers.total != 0 || len(g.strangers.by) != 0 || len(g.strangers.bySize) != 0 {
		t.Errorf("left: %d, %d, %+v", g.total, len(g.open), g.strangers)
	}
}

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

// TestFlood: far more silent connections than there are places, and slow ones
// that say half a word. Everybody gets in all the same: a stranger, one who is
// known, and one who is logged in stays.
func TestFlood(t *testing.T) {
	w, _ := startBalanced(t, GateLimits{Connections: 64, Delay: -1})
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

// TestDroppedSessionsSaySo: a connection that makes room ends at once, and the
// log names the limit.
func TestDroppedSessionsSaySo(t *testing.T) {
	var logs *observer.ObservedLogs
	w, _ := startBalanced(t, GateLimits{Connections: 2}, func(s *Server) { logs = observed(s) })
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
	g := NewGate(GateLimits{})
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
	w, _ := startBalanced(b, GateLimits{Delay: -1})
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
