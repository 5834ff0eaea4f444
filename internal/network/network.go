// Package network parses IP networks as people type them: in the configuration,
// on the command line and into the forms of the console.
package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"authferry/internal/hint"
)

// Error is the error of [Parse]. Address and Network are set if the text has bits
// beyond the mask.
type Error struct {
	Text    string
	Address netip.Addr
	Network netip.Prefix
}

func (e *Error) Error() string {
	if e.Network.IsValid() {
		return fmt.Sprintf("%q names an address within the network %s", e.Text, e.Network)
	}
	return fmt.Sprintf("%.80q is not a network", e.Text)
}

// Parse parses a network in CIDR notation, or a single address, which is the
// network of that address alone. IPv4 in IPv6 (RFC 4291 §2.5.5.2) becomes IPv4,
// and a zone is dropped, as clients' addresses are compared without either.
//
// Bits beyond the mask are an error: 192.0.2.5/24 may mean one address or 256.
func Parse(text string) (netip.Prefix, error) {
	text = strings.TrimSpace(text)
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	n, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, hint.New(&Error{Text: text}, `such as "192.0.2.0/24" or "2001:db8::1"`)
	}
	n = Unmap(n)
	if whole := n.Masked(); n != whole {
		return netip.Prefix{}, hint.New(&Error{text, n.Addr(), whole}, "write %s for the network, or %s for the address", whole, n.Addr())
	}
	return n, nil
}

// ParseList parses networks separated by commas, semicolons or white space. The
// error is that of the first text that is not a network.
func ParseList(text string) (list []netip.Prefix, err error) {
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ';' || r <= ' ' }) {
		n, err := Parse(part)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, nil
}

// Unmap turns a network of IPv4 in IPv6 into the IPv4 network: that of
// ::ffff:192.0.2.0/120 is 192.0.2.0/24.
func Unmap(n netip.Prefix) netip.Prefix {
	if n.Addr().Is4In6() && n.Bits() >= 96 {
		return netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-96)
	}
	return n
}

// Contains reports whether an address is in one of the networks. The zone of a
// link-local address does not matter: networks have none.
func Contains(networks []netip.Prefix, a netip.Addr) bool {
	a = a.WithZone("")
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(a) })
}
