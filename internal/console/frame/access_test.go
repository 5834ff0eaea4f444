package frame

import (
	"net/http"
	"net/netip"
	"testing"
)

// TestFrom: the address of a browser behind reverse proxies is the nearest that is
// not a trusted one.
func TestFrom(t *testing.T) {
	access := Access{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	for remote, want := range map[string]string{"10.0.0.1:5": "198.51.100.7", "192.0.2.1:5": "192.0.2.1"} {
		r := &http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": {"203.0.113.9, 198.51.100.7", "10.0.0.2"}}}
		if got := access.from(r).String(); got != want {
			t.Errorf("a request of %s is from %s, not %s", remote, got, want)
		}
	}
}
