// Package tlserror explains why TLS with a provider's server failed, and what to do
// about it.
package tlserror

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"authferry/internal/printable"
)

// Server is the server that TLS failed with, as people know it.
type Server struct {
	Host    string // as the certificate must have it
	Address string // with the port
	Table   string // the configuration's table where ca_file belongs: "[provider.gmail]"
}

// Explain returns what is wrong and how to fix it. ok is false if err says nothing that
// needs an explanation.
func Explain(err error, s Server) (what, fix string, ok bool) {
	var unknown x509.UnknownAuthorityError
	var wrongName x509.HostnameError
	var invalid x509.CertificateInvalidError
	var notTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		issuer := Issuer(unverified(err, unknown.Cert))
		return fmt.Sprintf("the certificate of %s is signed by %s, which this machine does not trust", s.Host, issuer),
			fmt.Sprintf("if %s is an authority of your organisation, or your own, save its certificate and name the file as ca_file in %s; if not, something on this network intercepts TLS: do not sign in from this network", issuer, s.Table), true
	case errors.As(err, &wrongName):
		names := "other names"
		if c := unverified(err, wrongName.Certificate); len(c.DNSNames) > 0 {
			names = printable.Quote(strings.Join(c.DNSNames, ", "))
		}
		return fmt.Sprintf("the certificate of %s is for %s", s.Host, names),
			"write the host in the configuration as the certificate has it; if the host is right, something on this network answers in its place", true
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		c := unverified(err, invalid.Cert)
		return fmt.Sprintf("the certificate of %s is valid from %s to %s, and this machine's clock says %s", s.Host,
				c.NotBefore.UTC().Format(time.DateOnly), c.NotAfter.UTC().Format(time.DateOnly), time.Now().UTC().Format(time.DateTime)),
			"set this machine's clock if it is wrong; if it is right, the server's administrator must renew the certificate", true
	case errors.As(err, &notTLS):
		return fmt.Sprintf("%s does not speak TLS from the first byte", s.Address),
			"check the host and the port; if it is a mail server with STARTTLS, write its URL with imap, pop3 or smtp", true
	}
	return "", "", false
}

// unverified returns the server's certificate: the first of the chain that failed.
func unverified(err error, certificate *x509.Certificate) *x509.Certificate {
	var chain *tls.CertificateVerificationError
	switch {
	case errors.As(err, &chain) && len(chain.UnverifiedCertificates) > 0:
		return chain.UnverifiedCertificates[0]
	case certificate == nil:
		return &x509.Certificate{}
	}
	return certificate
}

// Issuer names the authority that signed a certificate: by the organisation, which
// people know, and the authority's own name.
func Issuer(c *x509.Certificate) string {
	name := c.Issuer.CommonName
	if organisation := strings.Join(c.Issuer.Organization, " "); organisation != "" {
		name = strings.TrimSuffix(organisation+", "+name, ", ")
	}
	return printable.Quote(name)
}
