// Package certs provides the certificate that mail programs see: from files that it
// follows, from an authority that speaks ACME, or from an authority of its own that
// it keeps in the state directory.
package certs

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
)

// LoadPair loads a certificate and its key from files.
func LoadPair(cert, key string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("loading the certificate %s with the key %s: %w", cert, key, err)
	}
	return &pair, nil
}

// certificateFiles serves a certificate from files, and loads them again when
// they change: a renewal by certbot or lego needs no reload.
type certificateFiles struct {
	cert, key string
	log       *zap.Logger

	mu     sync.Mutex
	seen   string // the state of the files when they were last loaded
	loaded *tls.Certificate
}

func openCertificateFiles(c Config, log *zap.Logger) (*certificateFiles, error) {
	f := &certificateFiles{cert: c.Cert, key: c.Key, log: log, seen: stamp(c.Cert) + stamp(c.Key)}
	var err error
	f.loaded, err = LoadPair(c.Cert, c.Key)
	return f, err
}

// get is for [tls.Config.GetCertificate]. A pair that does not load, such as a
// new certificate whose key is still being written, leaves the old one in use.
func (f *certificateFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := stamp(f.cert) + stamp(f.key)
	if now == f.seen {
		return f.loaded, nil
	}
	f.seen = now
	pair, err := LoadPair(f.cert, f.key)
	if err != nil {
		f.log.Warn("certificate not renewed", zap.Error(err))
		return f.loaded, nil
	}
	f.loaded = pair
	f.log.Info("certificate renewed", zap.String("file", f.cert), zap.Time("until", pair.Leaf.NotAfter))
	return pair, nil
}

// expiryCheck is how often the end of a certificate is checked.
const expiryCheck = 24 * time.Hour

// tend loads changed files, and warns of a certificate that is not renewed.
func (f *certificateFiles) tend(context.Context) time.Duration {
	pair, err := f.get(nil)
	if err == nil {
		warnOfExpiry(f.log, pair.Leaf, f.cert, time.Now())
	}
	return expiryCheck
}

// warnOfExpiry logs that a certificate has expired or is about to. Programs
// that renew certificates, ACME clients among them, do so with a third of the
// life left, so with a sixth left something is wrong.
func warnOfExpiry(log *zap.Logger, leaf *x509.Certificate, file string, now time.Time) {
	fields := []zap.Field{zap.String("file", file), zap.Time("until", leaf.NotAfter)}
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		log.Error("the certificate has expired, and mail programs refuse it: renew it", fields...)
	case left < leaf.NotAfter.Sub(leaf.NotBefore)/6:
		log.Warn("the certificate ends soon: renew it", fields...)
	}
}

// stamp returns a text that changes with a file.
func stamp(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return "?"
	}
	return fmt.Sprintf("%d %d;", info.ModTime().UnixNano(), info.Size())
}

// Source provides the certificate for mail programs.
type Source struct {
	Get func(*tls.ClientHelloInfo) (*tls.Certificate, error) // for [tls.Config.GetCertificate]
	// Tend does what is due, such as a renewal, and returns when to call it
	// again.
	Tend func(context.Context) (again time.Duration)
}

// Open returns the source of a configuration's certificate: its files, an
// authority that speaks ACME, or authferry's own authority.
func Open(c Config, o Options, log *zap.Logger) (*Source, error) {
	kinds := []keyKind{CurveKey}
	if o.RSA {
		kinds = append(kinds, rsaKey)
	}
	switch {
	case c.ACME.On:
		return openACME(c.ACME, o, kinds, log)
	case c.Cert != "":
		return filesSource(c, o.RSA, log)
	}
	return selfMadeSource(o, kinds, log)
}

// Options describe the server that shows the certificate.
type Options struct {
	Dir       string    // the state directory, for the keys of authferry's own authority
	Documents Documents // the store, for certificates from an authority that speaks ACME
	Names     []string  // the names and addresses that a certificate of its own is valid for
	RSA       bool      // some programs are too old for elliptic curves
}

func filesSource(c Config, old bool, log *zap.Logger) (*Source, error) {
	f, err := openCertificateFiles(c, log)
	if err != nil {
		return nil, err
	}
	if _, rsa := f.loaded.PrivateKey.(*rsa.PrivateKey); old && !rsa {
		log.Warn("the certificate has no RSA key: programs too old for elliptic curves cannot use it", zap.String("file", c.Cert))
	}
	return &Source{f.get, f.tend}, nil
}

func selfMadeSource(o Options, kinds []keyKind, log *zap.Logger) (*Source, error) {
	var made []*selfMade
	for _, kind := range kinds {
		s, err := OpenSelfMade(o.Dir, kind, o.Names, time.Now, log)
		if err != nil {
			return nil, err
		}
		log.Info("certificate of authferry's own authority: mail programs must trust the authority", zap.String("authority", s.path(AuthorityFile)))
		made = append(made, s)
	}
	return &Source{
		Get: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			var pairs []*tls.Certificate
			for _, s := range made {
				pair, err := s.current()
				if err != nil {
					return nil, err
				}
				pairs = append(pairs, pair)
			}
			return fitting(hello, pairs), nil
		},
		Tend: func(context.Context) time.Duration { return expiryCheck }, // get renews it
	}, nil
}

// fitting returns the first certificate that a client can use.
func fitting(hello *tls.ClientHelloInfo, pairs []*tls.Certificate) *tls.Certificate {
	if len(pairs) > 1 {
		for _, pair := range pairs {
			if hello.SupportsCertificate(pair) == nil {
				return pair
			}
		}
	}
	return pairs[0]
}

// Config names the source of the certificate: files, an authority that speaks
// ACME, or, without either, authferry's own authority in the state directory.
type Config struct {
	Cert, Key string
	ACME      ACME
}

// ACME says how to get certificates by ACME (RFC 8555).
type ACME struct {
	On        bool
	Hosts     []string
	Email     string
	Directory string
	Roots     *x509.CertPool // of the directory; nil: the system's
	HTTP      string         // where HTTP-01 is answered; "": nowhere
	ALPN      string         // where TLS-ALPN-01 is answered; "": nowhere
}

// LetsEncrypt is the default directory.
const LetsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"
