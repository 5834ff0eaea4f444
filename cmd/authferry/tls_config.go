package main

import (
	"crypto/x509"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"authferry/internal/address"
)

// tlsConfig says where the certificate shown to mail programs comes from: files,
// an authority that speaks ACME, or, without either, an authority made here and
// kept in the store directory.
type tlsConfig struct {
	cert, key string
	acme      acmeConfig
}

// acmeConfig is how to get certificates by ACME (RFC 8555).
type acmeConfig struct {
	on        bool
	hosts     []string
	email     string
	directory string
	roots     *x509.CertPool // of the directory; nil: the system's
	http      string         // where HTTP-01 is answered; "": nowhere
	alpn      string         // where TLS-ALPN-01 is answered; "": nowhere
}

// letsEncrypt is the directory used unless another is named.
const letsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

func readTLS(t *table, hostname string) tlsConfig {
	c := tlsConfig{cert: t.file("cert"), key: t.file("key"), acme: readACME(t, hostname)}
	switch {
	case (c.cert == "") != (c.key == ""):
		t.complain("cert", "cert and key go together", "")
	case c.cert != "" && c.acme.on:
		t.complain("acme", "there are cert and key already", "keep one of the two")
	case c.cert != "":
		if _, err := loadPair(c.cert, c.key); err != nil {
			t.complain("cert", err.Error(), "")
		}
	}
	t.done()
	return c
}

func readACME(t *table, hostname string) acmeConfig {
	a := acmeConfig{
		on:        t.flag("acme", false),
		hosts:     t.texts("acme_hosts"),
		email:     t.text("acme_email", ""),
		directory: t.text("acme_directory", letsEncrypt),
		roots:     readAuthorities(t, "acme_ca_file"),
		http:      readChallengeAddress(t, "acme_http", ":80"),
		alpn:      readChallengeAddress(t, "acme_alpn", ":443"),
	}
	if !a.on {
		return acmeConfig{}
	}
	named := len(a.hosts) > 0
	if !named {
		a.hosts = []string{hostname}
	}
	for i, host := range a.hosts {
		a.hosts[i] = strings.ToLower(host)
		what := ""
		switch _, err := netip.ParseAddr(host); {
		case err == nil:
			what = host + " is an address, and certificates are for names"
		case strings.ContainsAny(host, " /:*") || host == "":
			what = "not a host name"
		case !strings.Contains(host, ".") && a.directory == letsEncrypt:
			what = host + " is no name that the whole world knows"
		}
		switch {
		case what != "" && named:
			t.complainAt("acme_hosts", i, what, `such as "mail.example.org"`)
		case what != "":
			t.complain("acme_hosts", "missing, and as the hostname "+what, `the public names of this machine, such as ["mail.example.org"]`)
		}
	}
	slices.Sort(a.hosts)
	a.hosts = slices.Compact(a.hosts)
	if a.email != "" && address.Check(a.email) != nil {
		t.complain("acme_email", "must be a mail address", "")
	}
	if u, err := url.Parse(a.directory); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		t.complain("acme_directory", "must be an https:// address", "such as "+letsEncrypt)
	}
	if a.http == "" && a.alpn == "" {
		t.complain("acme_http", "the authority has no way to see that the names are ours", `give acme_http or acme_alpn an address, such as ":80" or ":443"`)
	}
	return a
}

// readChallengeAddress reads where the authority connects to. Its side of these
// ports is fixed, 80 and 443 (RFC 8555 §8.3, RFC 8737 §3), but something may
// stand before this machine and forward them to others.
func readChallengeAddress(t *table, key, otherwise string) string {
	address := t.text(key, otherwise)
	if address == "" {
		return ""
	}
	if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
		t.complain(key, "must be an address and a port", `such as ":80"; "" is none`)
	}
	return address
}
