package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"authferry/internal/address"
	"authferry/internal/certs"
	"authferry/internal/config/document"
)

func readTLS(t *document.Table, hostname string) certs.Config {
	c := certs.Config{Cert: t.File("cert"), Key: t.File("key"), ACME: readACME(t, hostname)}
	switch {
	case (c.Cert == "") != (c.Key == ""):
		t.Complain("cert", "cert and key go together", "")
	case c.Cert != "" && c.ACME.On:
		t.Complain("acme", "there are cert and key already", "keep one of the two")
	case c.Cert != "":
		if _, err := certs.LoadPair(c.Cert, c.Key); err != nil {
			t.Complain("cert", err.Error(), "")
		}
	}
	t.Done()
	return c
}

func readACME(t *document.Table, hostname string) certs.ACME {
	a := certs.ACME{
		On:        t.Flag("acme", false),
		Hosts:     t.Texts("acme_hosts"),
		Email:     t.Text("acme_email", ""),
		Directory: t.Text("acme_directory", certs.LetsEncrypt),
		Roots:     readAuthorities(t, "acme_ca_file"),
		HTTP:      readChallengeAddress(t, "acme_http", ":80"),
		ALPN:      readChallengeAddress(t, "acme_alpn", ":443"),
	}
	if !a.On {
		return certs.ACME{}
	}
	named := len(a.Hosts) > 0
	if !named {
		a.Hosts = []string{hostname}
	}
	for i, host := range a.Hosts {
		a.Hosts[i] = strings.ToLower(host)
		what := ""
		switch _, err := netip.ParseAddr(host); {
		case err == nil:
			what = host + " is an address, and certificates are for names"
		case strings.ContainsAny(host, " /:*") || host == "":
			what = "not a host name"
		case !strings.Contains(host, ".") && a.Directory == certs.LetsEncrypt:
			what = host + " is not a public name"
		}
		switch {
		case what != "" && named:
			t.ComplainAt("acme_hosts", i, what, `such as "mail.example.org"`)
		case what != "":
			t.Complain("acme_hosts", "missing, and as the hostname "+what, `the public names of this machine, such as ["mail.example.org"]`)
		}
	}
	slices.Sort(a.Hosts)
	a.Hosts = slices.Compact(a.Hosts)
	if a.Email != "" && address.Check(a.Email) != nil {
		t.Complain("acme_email", "must be a mail address", "")
	}
	if u, err := url.Parse(a.Directory); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		t.Complain("acme_directory", "must be an https:// address", "such as "+certs.LetsEncrypt)
	}
	if a.HTTP == "" && a.ALPN == "" {
		t.Complain("acme_http", "the authority cannot check the names", `give acme_http or acme_alpn an address, such as ":80" or ":443"`)
	}
	return a
}

// readChallengeAddress reads the address for challenges. The authority always
// connects to ports 80 and 443 (RFC 8555 §8.3, RFC 8737 §3), but another
// machine may forward them.
func readChallengeAddress(t *document.Table, key, otherwise string) string {
	address := t.Text(key, otherwise)
	if address == "" {
		return ""
	}
	if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
		t.Complain(key, "must be an address and a port", `such as ":80"; "" is none`)
	}
	return address
}
