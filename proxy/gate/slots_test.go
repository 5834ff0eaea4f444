package gate

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
)

// slotsTest admits connections and notes which are dropped.
type slotsTest struct {
	*testing.T
	gate    *Gate
	dropped []string
}

func (s *slotsTest) admit(addr string) *Slot {
	s.Helper()
	slot, err := s.gate.Admit(netip.MustParseAddr(addr), func() { s.dropped = append(s.dropped, addr) })
	if err != nil {
		s.Fatalf("%s: %v", addr, err)
	}
	return slot
}

// wants checks which were dropped since the last call.
func (s *slotsTest) wants(addrs ...string) {
	s.Helper()
	if fmt.Sprint(s.dropped) != fmt.Sprint(addrs) {
		s.Errorf("dropped %v, want %v", s.dropped, addrs)
	}
	s.dropped = nil
}

// TestEvictionOrder: when unknown addresses have half of the slots, the next one
// takes the slot of the oldest silent connection in the most crowded network.
func TestEvictionOrder(t *testing.T) {
	s := &slotsTest{T: t, gate: New(Limits{Connections: 12})}
	s.admit("192.0.2.1")
	speaking := s.admit("198.51.100.1")
	s.admit("198.51.100.2")
	s.admit("198.51.100.3")
	s.admit("2001:db8:1:1::1")
	s.admit("2001:db8:1:2::1")
	speaking.Spoke()
	speaking.Spoke()
	s.wants()
	s.admit("203.0.113.1")
	s.wants("198.51.100.2") // three in one /24; the oldest of them that is silent
	s.admit("203.0.113.2")
	s.wants("2001:db8:1:1::1") // two in each; this /48 was at two first
	s.admit("203.0.113.3")
	s.wants("198.51.100.3") // two in each; now this one, whose other connection has sent something
	s.admit("203.0.113.4")
	s.wants("203.0.113.1")
	speaking.LoggedIn()
	s.admit("203.0.113.5")
	s.wants()
	if s.gate.slots.total != 7 || s.gate.slots.unknown != 6 {
		t.Errorf("%d in all, %d from unknown addresses that have not logged in", s.gate.slots.total, s.gate.slots.unknown)
	}
}

// TestEvictionWithoutSilent: connections that send something now and then are
// dropped too when none is silent.
func TestEvictionWithoutSilent(t *testing.T) {
	s := &slotsTest{T: t, gate: New(Limits{Connections: 4})}
	s.admit("192.0.2.1").Spoke()
	s.admit("198.51.100.1").Spoke()
	s.admit("203.0.113.1")
	s.wants("192.0.2.1")
	s.admit("203.0.114.1")
	s.wants("203.0.113.1")
}

// TestReservedSlots: known addresses and this machine are admitted when unknown
// addresses that are logged in have all other slots, and first take those of
// unknown addresses that are not.
func TestReservedSlots(t *testing.T) {
	s := &slotsTest{T: t, gate: New(Limits{Connections: 32})}
	s.gate.Succeeded(home, owner)
	for n := range 29 {
		s.admit(guesser(n).String()).LoggedIn()
	}
	s.admit("192.0.2.0")
	s.admit("192.0.2.1")
	s.wants("192.0.2.0") // two slots are still free, but not for unknown addresses
	if _, err := s.gate.Admit(netip.MustParseAddr("127.0.0.1"), nil); err != nil {
		t.Error(err)
	}
	s.admit(home.String())
	s.wants()
	s.admit("192.0.2.2") // the other unknown address
	s.wants("192.0.2.1")
	s.admit(home.String())
	s.wants("192.0.2.2")
	if _, err := s.gate.Admit(netip.MustParseAddr("192.0.2.3"), func() {}); !errors.Is(err, ErrTooMany) {
		t.Errorf("an unknown address: %v", err)
	}
	s.admit(home.String()) // full: now they drop each other
	s.wants(home.String())
}

// TestSlotsAreCounted: no order of admissions and releases loses a connection.
func TestSlotsAreCounted(t *testing.T) {
	g := New(Limits{Connections: 200, ConnectionsPerAddress: -1})
	var live []*Slot
	for n := range 20_000 {
		slot, err := g.Admit(netip.AddrFrom4([4]byte{10, 0, byte(n * n % 11), byte(n % 7)}), func() {})
		if err != nil {
			t.Fatal(err)
		}
		live = append(live, slot)
		switch i := n * 7919 % len(live); n % 5 {
		case 0:
			live[i].Spoke()
		case 1:
			live[i].LoggedIn()
			live[i].Release()
		case 2:
			live[i].Release()
		}
		if n%1000 == 0 {
			g.Evict()
		}
	}
	for _, slot := range live {
		slot.Release()
	}
	if s := &g.slots; s.total != 0 || len(s.bySite) != 0 || s.unknown != 0 || len(s.pending.networks) != 0 || len(s.pending.heap) != 0 {
		t.Errorf("left: %+v", s)
	}
}
