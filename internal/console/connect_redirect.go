package console

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"authferry/tokens/oauth"
)

// withoutHint asks for anybody of a domain. Google takes its name as a hint.
func withoutHint(page, domain string, p *oauth.Provider) string {
	u, err := url.Parse(page)
	if err != nil {
		return page
	}
	q := u.Query()
	q.Del("login_hint")
	if p.Brand() == "Google" {
		q.Set("hd", domain)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// redirectTo is where the provider is to send the browser.
//
// On a loopback console it has no path: Microsoft compares it with the
// registered http://localhost, whose port it ignores, and Google takes any port
// of 127.0.0.1 for a client of type "Desktop app". Elsewhere it is the callback,
// which has to be registered with the client; a client that takes loopback
// addresses only has its answer pasted back.
func redirectTo(a Access, p *oauth.Provider, w way) (address string, paste bool) {
	host := cmp.Or(p.RedirectHost, "127.0.0.1")
	u, err := url.Parse(a.URL)
	local := err == nil && u.Scheme == "http" && isLoopbackName(u.Hostname())
	switch {
	case w == byPaste || p.LoopbackOnly && !local:
		return "http://" + net.JoinHostPort(host, pastePort), true
	case local:
		if host != "localhost" && u.Hostname() != "localhost" {
			host = u.Hostname() // where it listens: [::1], say
		}
		return "http://" + strings.TrimSuffix(net.JoinHostPort(host, u.Port()), ":"), false
	}
	return a.URL + callbackPath, false
}

func isLoopbackName(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// atCallback leads a browser that came back to the bare address of a loopback
// console to the callback; see redirectTo.
func atCallback(r *http.Request) *http.Request {
	if r.Method != http.MethodGet || r.URL.Path != "/" || r.URL.RawQuery == "" {
		return r
	}
	q := r.URL.Query()
	if !q.Has("state") || !q.Has("code") && !q.Has("error") {
		return r
	}
	r = r.Clone(r.Context())
	r.URL.Path = callbackPath
	return r
}

// redirectError is the error in an address that a consent page leads to, if any.
func redirectError(address string) string {
	_, query, _ := strings.Cut(address, "?")
	q, err := url.ParseQuery(query)
	if err != nil {
		return "" // Finish says what is wrong with it
	}
	return q.Get("error")
}
