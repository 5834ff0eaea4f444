package network

import (
	"net/netip"
	"slices"
)

// within tells whether an address is in one of some networks.
func Contains(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}
