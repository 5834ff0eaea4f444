package frame

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"authferry/proxy/gate"
)

// Access says how the console is reached, and whom it trusts to name users.
type Access struct {
	// URL is where people reach the console, without a slash at its end. Links
	// begin with it, and redirects from consent pages lead to it.
	URL string
	// Names are the host names that requests may ask for, in addition to IP
	// addresses, and to localhost on loopback.
	Names []string
	// Header is the header in which a reverse proxy in one of the Trusted networks
	// names the signed-in user; empty: there is none. Administrators lists the
	// names that are administrators.
	Header         string
	Trusted        []netip.Prefix
	Administrators []string
}

// policy restricts pages to what this console serves: no script or style within a
// page, no frame around it, no form that leads elsewhere.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// protect sets the headers of every answer, errors included.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
	h.Set("Cache-Control", "no-store")
}

// knows reports whether a request asks for one of the console's names. A page of
// another site can make its own name resolve to this machine and read the answers
// as its own (DNS rebinding); it cannot do so with an address.
func (a Access) knows(r *http.Request) bool {
	host := HostName(r.Host)
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	if host == "localhost" {
		at, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		return at == nil || at.IP.IsLoopback()
	}
	if u, err := url.Parse(a.URL); err == nil && host == HostName(u.Host) {
		return true
	}
	return slices.ContainsFunc(a.Names, func(name string) bool { return strings.EqualFold(name, host) })
}

// HostName returns the host of a Host header, without its port and its brackets.
func HostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
}

// sameSite reports whether a request that may change something comes from a page
// of the console. Browsers say so in Sec-Fetch-Site, or in Origin if they are
// older. Without either it is not a page's request, and browsers do not send the
// session's cookie from other sites (SameSite=Strict). Users that a reverse proxy
// names have no such cookie, so that one of the two headers is required then.
func sameSite(crossing *http.CrossOriginProtection, r *http.Request, a Access) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	origin := r.Header.Get("Origin")
	if r.Header.Get("Sec-Fetch-Site") == "" && origin != "" && origin == a.Origin() {
		return true // a reverse proxy may put its own name in Host
	}
	if crossing.Check(r) != nil {
		return false
	}
	return origin != "" || r.Header.Get("Sec-Fetch-Site") != "" || !a.vouches(r)
}

// Origin returns the console's own, as browsers write it.
func (a Access) Origin() string {
	u, err := url.Parse(a.URL)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// peer returns the address at the other end of the connection.
func peer(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

// trusts reports whether an address is that of a trusted reverse proxy.
func (a Access) trusts(addr netip.Addr) bool {
	return addr.IsValid() && slices.ContainsFunc(a.Trusted, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// vouches reports whether a reverse proxy names the user of a request.
func (a Access) vouches(r *http.Request) bool {
	named := slices.ContainsFunc(r.Header.Values(a.Header), func(name string) bool { return name != "" })
	return a.Header != "" && named && a.trusts(peer(r))
}

// from returns the browser's address: the nearest one in X-Forwarded-For that is
// not a trusted proxy's. Anyone can write the addresses before it.
func (a Access) from(r *http.Request) netip.Addr {
	addr := peer(r)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !a.trusts(addr) {
			break
		}
		next, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		addr = next.Unmap().WithZone("")
	}
	return addr
}

// NetworkOf returns what counts as one client, as the gate counts mail programs:
// an IPv4 address, or an IPv6 network of 64 bits.
func NetworkOf(a netip.Addr) netip.Prefix { return gate.SiteOf(a) }
