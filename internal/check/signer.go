package check

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// publicRoots are the authorities that browsers trust, whatever this machine
// does: what is signed by another is signed by somebody near.
var publicRoots = sync.OnceValue(func() *x509.CertPool {
	pool := x509.NewCertPool()
	for root := range bundle.Roots() {
		cert, err := x509.ParseCertificate(root.Certificate)
		if err == nil { // the bundle has its own tests
			pool.AddCertWithConstraint(cert, root.Constraint)
		}
	}
	return pool
})

// vouched says who vouches for a server whose certificate was verified. On
// networks that open TLS this is the only place where it shows.
func vouched(s tls.ConnectionState) string {
	leaf := s.PeerCertificates[0]
	words := fmt.Sprintf("%s, certificate signed by %s, good until %s",
		tls.VersionName(s.Version), issuer(leaf), leaf.NotAfter.UTC().Format(time.DateOnly))
	between := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: publicRoots(), Intermediates: between})
	if err != nil {
		words += "; no public authority, so your own, or that of a network that opens TLS"
	}
	return words
}

// issuer names who signed a certificate: the organisation, which people know,
// and what it calls the authority.
func issuer(c *x509.Certificate) string {
	name := c.Issuer.CommonName
	if organisation := strings.Join(c.Issuer.Organization, " "); organisation != "" {
		name = strings.TrimSuffix(organisation+", "+name, ", ")
	}
	return secrets(nil).said(name)
}

// tlsFailure says what is wrong with a server's TLS, and what mends it.
func tlsFailure(err error, provider, host, where string) finding {
	var verification *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var wrongName x509.HostnameError
	var notTLS tls.RecordHeaderError
	var plain *plainError
	var away *unreached
	leaf := &x509.Certificate{}
	if errors.As(err, &verification) && len(verification.UnverifiedCertificates) > 0 {
		leaf = verification.UnverifiedCertificates[0]
	}
	switch {
	case errors.As(err, &away):
		return failed(fmt.Sprintf("let this machine, and the proxy of [provider.%s] if it has one, connect to %s", provider, where), "%v", err)
	case errors.As(err, &unknown):
		return failed(fmt.Sprintf("if %s is your organisation's authority, or your own, save its certificate and name the file as ca_file in [provider.%s]; if you do not know it, do not sign in from this network", issuer(leaf), provider),
			"something on this network opens TLS: the certificate of %s is signed by %s, which this machine does not trust", host, issuer(leaf))
	case errors.As(err, &wrongName):
		return failed("write the host in the configuration as the certificate has it; if it is right there, something on this network answers in its place",
			"the certificate of %s is for %s", host, secrets(nil).said(strings.Join(leaf.DNSNames, ", ")))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return failed("set this machine's clock if it is wrong; otherwise the certificate has to be renewed by whoever runs the server",
			"the certificate of %s is good from %s to %s, and this machine's clock says %s", host,
			leaf.NotBefore.UTC().Format(time.DateOnly), leaf.NotAfter.UTC().Format(time.DateOnly), time.Now().UTC().Format(time.DateTime))
	case errors.As(err, &notTLS):
		return failed("write the URL of the server with imap, pop3 or smtp if it wants STARTTLS; otherwise check the port",
			"%s does not speak TLS from the first byte", where)
	case errors.As(err, &plain):
		return failed("write the URL of the server with imaps, pop3s or smtps if it has TLS from the first byte; otherwise something on the way takes STARTTLS out: use another network", "%v", err)
	}
	return failed("try it from another network; if it works there, a firewall or a virus scanner here is in the way", "TLS with %s: %v", where, err)
}
