package connect

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"authferry/tokens/oauth"
)

const (
	callbackPath = "/connect/callback"
	// pastePort is in the address that is pasted back: nothing listens there.
	pastePort = "47653"
)

// way is how the person gets to the provider's page and back.
type way string

const (
	byPage  way = "page"
	byPaste way = "paste"
	byCode  way = "code"
)

// withoutHint lets any account of a domain sign in. Google takes the domain as a
// hint.
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

// redirectTo returns where the provider sends the browser.
//
// On a loopback console the address has no path: Microsoft compares it with the
// registered http://localhost and ignores the port, and Google accepts any port of
// 127.0.0.1 for a client of type "Desktop app". Elsewhere it is the callback, which
// has to be registered with the client. With a client that accepts loopback
// addresses only, the person pastes the address.
func redirectTo(console string, p *oauth.Provider, w way) (address string, paste bool) {
	host := cmp.Or(p.RedirectHost, "127.0.0.1")
	u, err := url.Parse(console)
	local := err == nil && u.Scheme == "http" && isLoopbackName(u.Hostname())
	switch {
	case w == byPaste || p.LoopbackOnly && !local:
		return "http://" + net.JoinHostPort(host, pastePort), true
	case local:
		if host != "localhost" && u.Hostname() != "localhost" {
			host = u.Hostname() // the address it listens on, such as [::1]
		}
		return "http://" + strings.TrimSuffix(net.JoinHostPort(host, u.Port()), ":"), false
	}
	return console + callbackPath, false
}

func isLoopbackName(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// ToCallback changes a request for the bare address of a loopback console, with
// the provider's answer in it, to one for the callback; see redirectTo.
func ToCallback(r *http.Request) *http.Request {
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

// redirectError returns the error in an address that a consent page leads to.
func redirectError(address string) string {
	_, query, _ := strings.Cut(address, "?")
	q, err := url.ParseQuery(query)
	if err != nil {
		return "" // Finish says what is wrong with it
	}
	return q.Get("error")
}
