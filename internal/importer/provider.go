package importer

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"authferry/internal/secret"
	"authferry/tokens/oauth"
)

// Provider is what another program knew of a mail provider. Unknown fields are
// empty.
type Provider struct {
	Family string // "gmail" or "microsoft", as in [oauth.Builtin]; empty: another
	Flow   oauth.Flow

	AuthURL, TokenURL, DeviceURL string
	Scopes                       []string
	RedirectHost                 string
	ClientID                     string
	ClientSecret                 secret.String

	ServiceAccountFile string        // path of a key, as Google's console exports it
	ServiceAccountKey  secret.String // or the key itself
	CertificateFile    string        // with its key, in place of the secret
	CertificateKeyFile string

	IMAP, POP3, SMTP string // as URLs, the way the configuration has them
}

// families maps the hosts of token endpoints, old ones included, to built-in
// providers. National clouds are separate providers.
var families = map[string]string{
	"oauth2.googleapis.com":     "gmail",
	"accounts.google.com":       "gmail",
	"www.googleapis.com":        "gmail",
	"login.microsoftonline.com": "microsoft",
	"login.live.com":            "microsoft",
}

func familyOf(tokenURL string) string {
	u, err := url.Parse(tokenURL)
	if err != nil {
		return ""
	}
	return families[strings.ToLower(u.Hostname())]
}

// is reports whether q is this provider as it is configured: the same client at
// the same endpoint, or, where no client is named, the same endpoint.
func (p *Provider) is(q *oauth.Provider) bool {
	if p.ClientID != "" && p.ClientID != q.ClientID {
		return false
	}
	if p.Flow.NeedsPerson() != q.Flow.NeedsPerson() {
		return false
	}
	if p.ServiceAccountFile != "" || !p.ServiceAccountKey.Empty() {
		return q.Flow == oauth.FlowServiceAccount && p.sharesEndpoint(q)
	}
	return p.sharesEndpoint(q)
}

func (p *Provider) sharesEndpoint(q *oauth.Provider) bool {
	if p.TokenURL != "" { // at Microsoft, it names the tenant
		return p.TokenURL == q.TokenURL
	}
	return p.Family != "" && (p.Family == familyOf(q.TokenURL) || p.Family == q.Name)
}

// same reports whether two accounts share one provider.
func (p *Provider) same(q *Provider) bool {
	return p.Family == q.Family && p.Flow == q.Flow && p.TokenURL == q.TokenURL && p.ClientID == q.ClientID &&
		p.ClientSecret == q.ClientSecret && p.ServiceAccountFile == q.ServiceAccountFile && p.ServiceAccountKey == q.ServiceAccountKey &&
		p.CertificateFile == q.CertificateFile && slices.Equal(p.Scopes, q.Scopes)
}

// settle finds the family of a provider by its token endpoint. It drops the URLs of
// Google, which are newer here than in other programs. Those of Microsoft stay,
// because they name the tenant.
func (p *Provider) settle() {
	p.Family = familyOf(p.TokenURL)
	if p.Family == "gmail" {
		p.AuthURL, p.TokenURL = "", ""
	}
	if b := oauth.Builtin()[p.Family]; b != nil && p.TokenURL == b.TokenURL {
		p.AuthURL, p.TokenURL, p.DeviceURL = "", "", ""
	}
}

// tableName finds a name for a provider's table that is not taken, and the built-in
// provider that the table is like.
func (p *Provider) tableName(taken func(string) bool) (name, like string) {
	builtin := oauth.Builtin()
	if p.Family != "" {
		if !taken(p.Family) {
			return p.Family, ""
		}
		like = p.Family
	}
	base := like
	if base == "" {
		base = plainName(p.TokenURL)
	}
	for n, name := 1, base; ; n, name = n+1, fmt.Sprintf("%s-%d", base, n+1) {
		if !taken(name) && builtin[name] == nil {
			return name, like
		}
	}
}

// plainName makes a table's name from a URL: "fastmail" from
// https://api.fastmail.com/oauth/refresh.
func plainName(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "imported"
	}
	host := u.Hostname()
	if _, err := netip.ParseAddr(host); err != nil {
		host, _, _ = strings.Cut(domainOf(host), ".")
	}
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(host))
	if name = strings.Trim(name, "-"); name == "" {
		return "imported"
	}
	return name
}

// domainOf returns the last two labels of a host, which imap.example.org and
// oauth.example.org share. An IP address is returned whole.
func domainOf(host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if _, err := netip.ParseAddr(host); err == nil {
		return host
	}
	labels := strings.Split(host, ".")
	return strings.Join(labels[max(len(labels)-2, 0):], ".")
}

func domainOfURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return domainOf(u.Hostname())
}

// isBuiltinHost reports whether a host is a mail server of a built-in provider,
// under any of its names.
func isBuiltinHost(host string) bool {
	for _, p := range oauth.Builtin() {
		for _, e := range []oauth.Endpoint{p.IMAP, p.POP3, p.SMTP} {
			if domainOf(e.Host) == domainOf(host) {
				return true
			}
		}
	}
	return domainOf(host) == "outlook.com" || domainOf(host) == "googlemail.com"
}
