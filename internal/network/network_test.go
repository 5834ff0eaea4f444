package network

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"authferry/internal/hint"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.0/24":          "192.0.2.0/24",
		" 192.0.2.1":            "192.0.2.1/32",
		"192.0.2.1/32":          "192.0.2.1/32",
		"2001:db8::1":           "2001:db8::1/128",
		"2001:db8::/48":         "2001:db8::/48",
		"fe80::1%eth0":          "fe80::1/128",
		"::ffff:192.0.2.1":      "192.0.2.1/32",
		"::ffff:192.0.2.0/120":  "192.0.2.0/24",
		"0.0.0.0/0":             "0.0.0.0/0",
		"::ffff:192.0.2.1/128 ": "192.0.2.1/32",
	} {
		if got, err := Parse(text); err != nil || got.String() != want {
			t.Errorf("%q: %v, %v, want %s", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                       "such as",
		"192.0.2.0/33":           "such as",
		"example.org":            "such as",
		"192.0.2":                "such as",
		"192.0.2.5/24":           "write 192.0.2.0/24 for the network, or 192.0.2.5 for the address",
		"::ffff:192.0.2.5/120":   "write 192.0.2.0/24 for the network, or 192.0.2.5 for the address",
		"2001:db8::1/48":         "write 2001:db8::/48 for the network, or 2001:db8::1 for the address",
		strings.Repeat("x", 1e4): "such as",
	} {
		got, err := Parse(text)
		if err == nil || got != (netip.Prefix{}) || !strings.Contains(hint.Of(err), want) || len(err.Error()) > 200 {
			t.Errorf("%.40q: %v, %v, hint %q", text, got, err, hint.Of(err))
		}
	}
}

func TestParseList(t *testing.T) {
	got, err := ParseList(" 192.0.2.0/24, 2001:db8::1;198.51.100.7\r\n203.0.113.0/28,")
	if s := fmt.Sprint(got); err != nil || s != "[192.0.2.0/24 2001:db8::1/128 198.51.100.7/32 203.0.113.0/28]" {
		t.Errorf("%s, %v", s, err)
	}
	if got, err := ParseList(" \n"); got != nil || err != nil {
		t.Errorf("an empty list: %v, %v", got, err)
	}
	if got, err := ParseList("192.0.2.0/24 192.0.2.5/24"); got != nil || err == nil {
		t.Errorf("%v, %v", got, err)
	}
}

func TestContains(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("fe80::/10")}
	for text, want := range map[string]bool{
		"192.0.2.7": true, "192.0.3.7": false, "fe80::1": true, "fe80::1%eth0": true, "2001:db8::1%eth0": false,
	} {
		if got := Contains(networks, netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"192.0.2.0/24", "::ffff:10.0.0.1", "::ffff:192.0.2.0/120", "::/0", "fe80::1%e", "0/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := Parse(text)
		if err != nil {
			return
		}
		if n != n.Masked() || n.Addr().Is4In6() && n.Bits() >= 96 {
			t.Errorf("%q is %v", text, n)
		}
		if again, err := Parse(n.String()); err != nil || again != n {
			t.Errorf("%q is %v, which is %v, %v", text, n, again, err)
		}
	})
}
