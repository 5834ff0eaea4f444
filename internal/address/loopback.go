package address

import (
	"net"
	"net/netip"
	"strings"
)

// IsLoopbackHost reports whether a host, with or without a port, is localhost or a
// loopback address.
func IsLoopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback() || strings.EqualFold(host, "localhost")
}
