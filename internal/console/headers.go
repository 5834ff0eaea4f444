package console

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// policy lets pages have nothing but what this console serves itself: no script
// or style within a page, no frame around it, no form that leads elsewhere.
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

// knows tells whether a request asks for a name that the console goes by. A page
// elsewhere may have its own name resolve to this machine, and would read the
// answers as its own (DNS rebinding); it cannot do so with an address.
func (a Access) knows(r *http.Request) bool {
	host := hostName(r.Host)
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	if host == "localhost" {
		at, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		return at == nil || at.IP.IsLoopback()
	}
	if u, err := url.Parse(a.URL); err == nil && host == hostName(u.Host) {
		return true
	}
	return slices.ContainsFunc(a.Names, func(name string) bool { return strings.EqualFold(name, host) })
}

// hostName is the host of a Host header, without its port and its brackets.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
}

// sameSite tells whether a request that may change something comes from a page
// of ours. Browsers say so by Sec-Fetch-Site, or by Origin if they are older;
// where neither is there, it is no page's doing, and the session's cookie does
// not come along from elsewhere (SameSite=Strict). Who is let in by a reverse
// proxy has no such cookie, so that one of the two is required then.
func (c *Console) sameSite(r *http.Request, a Access) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	origin := r.Header.Get("Origin")
	if r.Header.Get("Sec-Fetch-Site") == "" && origin != "" && origin == a.origin() {
		return true // a reverse proxy may put its own name in Host
	}
	if c.crossing.Check(r) != nil {
		return false
	}
	return origin != "" || r.Header.Get("Sec-Fetch-Site") != "" || !a.vouches(r)
}

// origin is the console's own, as browsers write it.
func (a Access) origin() string {
	u, err := url.Parse(a.URL)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// secure tells whether people reach the console over TLS.
func (v *visit) secure() bool {
	return v.r.TLS != nil || strings.HasPrefix(v.Access().URL, "https://")
}

// peer is the address at the other end of the connection.
func peer(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

// trusts tells whether an address is that of a reverse proxy of ours.
func (a Access) trusts(addr netip.Addr) bool {
	return addr.IsValid() && slices.ContainsFunc(a.Trusted, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// vouches tells whether a reverse proxy says who makes a request.
func (a Access) vouches(r *http.Request) bool {
	named := slices.ContainsFunc(r.Header.Values(a.Header), func(name string) bool { return name != "" })
	return a.Header != "" && named && a.trusts(peer(r))
}

// from is where a browser is: the nearest address of X-Forwarded-For that no
// reverse proxy of ours has, since what is before that anybody can write.
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
