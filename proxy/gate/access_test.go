package gate

import (
	"net/netip"
	"strings"
	"testing"

	"authferry/tokens"
)

func TestNarrowestNetworkIsTrusted(t *testing.T) {
	trust := func(mailbox string, networks ...string) Trusted {
		t := Trusted{Trust: tokens.Trust{Mailbox: mailbox}}
		for _, n := range networks {
			t.Networks = append(t.Networks, netip.MustParsePrefix(n))
		}
		return t
	}
	g := New(Limits{Trusted: []Trusted{
		trust("floor@example.com", "192.168.1.0/24", "fe80::/64"), trust("scanner@example.com", "10.0.0.1/32", "192.168.1.50/32"),
		trust("house@example.com", "192.168.0.0/16"),
	}})
	for addr, want := range map[string]string{
		"192.168.1.50": "scanner@", "192.168.1.51": "floor@", "192.168.2.1": "house@", "10.0.0.1": "scanner@", "fe80::1%eth0": "floor@",
		"10.0.0.2": "", "2001:db8::1": "", "127.0.0.1": "",
	} {
		got := g.Trusted(netip.MustParseAddr(addr))
		if (got != nil) != (want != "") || got != nil && !strings.HasPrefix(got.Trust.Mailbox, want) {
			t.Errorf("%s: %+v, want %q", addr, got, want)
		}
	}
}
