package check

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"

	"authferry/internal/tlserror"
	"authferry/tokens/oauth"
)

// publicRoots are the authorities that browsers trust, whatever this machine trusts. A
// certificate of another authority comes from the local network or organisation.
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

// describeTLS says who signed the certificate of a verified connection. On networks
// that intercept TLS, this is the only place where it shows.
func describeTLS(s tls.ConnectionState) string {
	leaf := s.PeerCertificates[0]
	words := fmt.Sprintf("%s, certificate signed by %s, valid until %s",
		tls.VersionName(s.Version), tlserror.Issuer(leaf), leaf.NotAfter.UTC().Format(time.DateOnly))
	intermediates := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		intermediates.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: publicRoots(), Intermediates: intermediates})
	if err != nil {
		words += "; this is no public authority, so it is your own, or that of a network that intercepts TLS"
	}
	return words
}

// tlsFailure is the finding for a server that TLS failed with.
func tlsFailure(err error, p *oauth.Provider, host, address string) finding {
	table := fmt.Sprintf("[provider.%s]", p.Name)
	var refused *startTLSError
	var unreachable *unreachableError
	switch {
	case errors.As(err, &unreachable):
		return failed(fmt.Sprintf("allow this machine, and the proxy of %s if it has one, to connect to %s", table, address), "%v", err)
	case errors.As(err, &refused):
		return failed("write the URL of the server with imaps, pop3s or smtps if it uses TLS from the first byte; otherwise something on the way removes STARTTLS: use another network", "%v", err)
	}
	if what, fix, ok := tlserror.Explain(err, tlserror.Server{Host: host, Address: address, Table: table}); ok {
		return failed(fix, "%s", what)
	}
	return failed("try it from another network; if it works there, a firewall or a virus scanner here is in the way", "TLS with %s: %v", address, err)
}

// mailTLSFailure is tlsFailure for a mail server.
func mailTLSFailure(err error, p *oauth.Provider, e oauth.Endpoint) finding {
	return tlsFailure(err, p, e.Host, fmt.Sprintf("%s port %d", e.Host, e.Port))
}
