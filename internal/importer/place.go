package importer

import (
	"net/netip"
	"net/url"
	"strings"

	"authferry/tokens/oauth"
)

// domainOf is the last two labels of a host: near enough to tell that
// imap.example.org and oauth.example.org belong together. An address is its own.
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

// isBuiltinHost tells the mail servers of the providers that are built in, by
// all their names.
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
