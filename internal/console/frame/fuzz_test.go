package frame

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"authferry/internal/console/pages"
)

// FuzzRequest: with any headers and any form, nothing panics, no redirect leads to
// another site, and stored names are printable.
func FuzzRequest(f *testing.F) {
	f.Add("pl,de;q=0.5", "203.0.113.9, 10.0.0.1", "Mozilla/5.0 (X11; Linux) Firefox/1", "mail.example.org:80", "/logins")
	f.Add(";q=,", ", ,::1%eth0", strings.Repeat("ż", 50)+"/", "[::1", "//evil.example")
	f.Add("de;q=NaN", "::ffff:10.0.0.1", "\x00", "]:", "/\\evil")
	access := Access{URL: "https://mail.example.org", Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::/0")}}
	f.Fuzz(func(t *testing.T, accept, forwarded, agent, host, next string) {
		r := &http.Request{
			Method: http.MethodGet, Host: host, RemoteAddr: "10.0.0.9:5", URL: &url.URL{Path: "/", RawQuery: url.Values{"next": {next}}.Encode()},
			Header: http.Header{"Accept-Language": {accept}, "X-Forwarded-For": {forwarded}},
		}
		if l := pages.LanguageOf(r); !pages.IsLanguage(l) {
			t.Errorf("%q is no language", l)
		}
		if a := access.from(r); !a.IsValid() || a.Zone() != "" || a.Is4In6() {
			t.Errorf("the client is %v", a)
		}
		if name := browserName(agent); !utf8.ValidString(name) || len(name) > 40 {
			t.Errorf("the browser is %q", name)
		}
		access.knows(r)
		to, err := url.Parse((&Request{HTTP: r}).Next())
		if err != nil || to.IsAbs() || to.Host != "" || !strings.HasPrefix(to.Path, "/") || strings.HasPrefix(to.Path, "//") {
			t.Errorf("%q leads to %v, %v", next, to, err)
		}
	})
}
