package network

import (
	"net/netip"
	"slices"
)

// Contains reports whether an address is in one of the networks. The zone of a
// link-local address does not matter: networks have none.
func Contains(networks []netip.Prefix, a netip.Addr) bool {
	a = a.WithZone("")
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(a) })
}
