package main

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"authferry/proxy"
)

// loadPair loads a certificate and its key from files.
func loadPair(cert, key string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("loading the certificate %s with the key %s: %w", cert, key, err)
	}
	return &pair, nil
}

// certificateFiles serve a certificate from files, and follow their changes: a
// renewal by certbot or lego needs no reload.
type certificateFiles struct {
	cert, key string
	log       *zap.Logger

	mu     sync.Mutex
	seen   string // what the files looked like when they were last tried
	loaded *tls.Certificate
}

func openCertificateFiles(c tlsConfig, log *zap.Logger) (*certificateFiles, error) {
	f := &certificateFiles{cert: c.cert, key: c.key, log: log, seen: stamp(c.cert) + stamp(c.key)}
	var err error
	f.loaded, err = loadPair(c.cert, c.key)
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
	pair, err := loadPair(f.cert, f.key)
	if err != nil {
		f.log.Warn("certificate not renewed", zap.Error(err))
		return f.loaded, nil
	}
	f.loaded = pair
	f.log.Info("certificate renewed", zap.String("file", f.cert), zap.Time("until", pair.Leaf.NotAfter))
	return pair, nil
}

// expiryCheck is how often the end of a certificate is looked at.
const expiryCheck = 24 * time.Hour

// tend has changed files loaded, and warns of a certificate that nobody renews.
func (f *certificateFiles) tend(context.Context) time.Duration {
	pair, err := f.get(nil)
	if err == nil {
		warnOfExpiry(f.log, pair.Leaf, f.cert, time.Now())
	}
	return expiryCheck
}

// warnOfExpiry logs that a certificate has ended or is about to. What renews
// certificates does so when a third of their life is left, ACME programs among
// them, so with a sixth left something is wrong.
func warnOfExpiry(log *zap.Logger, leaf *x509.Certificate, file string, now time.Time) {
	fields := []zap.Field{zap.String("file", file), zap.Time("until", leaf.NotAfter)}
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		log.Error("the certificate has expired, and mail programs refuse it: renew it", fields...)
	case left < leaf.NotAfter.Sub(leaf.NotBefore)/6:
		log.Warn("the certificate ends soon: renew it", fields...)
	}
}

// stamp tells versions of a file apart.
func stamp(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return "?"
	}
	return fmt.Sprintf("%d %d;", info.ModTime().UnixNano(), info.Size())
}

// certificateNames are the names that mail programs may know this machine by.
func certificateNames(c *config) []string {
	names := []string{c.hostname, "localhost", "127.0.0.1", "::1"}
	for _, l := range c.listen {
		host, _, _ := net.SplitHostPort(l.address)
		if ip, err := netip.ParseAddr(host); err == nil && !ip.IsUnspecified() {
			names = append(names, ip.WithZone("").String())
		}
	}
	return names
}

// certificateSource is where the certificate for mail programs comes from.
type certificateSource struct {
	get func(*tls.ClientHelloInfo) (*tls.Certificate, error) // for [tls.Config.GetCertificate]
	// tend does what is due, such as a renewal, and tells when to call it again.
	tend func(context.Context) (again time.Duration)
}

// certificateFor is the certificate of a configuration: from its files, from an
// authority that speaks ACME, or one made here.
func certificateFor(c *config, log *zap.Logger) (*certificateSource, error) {
	kinds := []keyKind{curveKey}
	if slices.ContainsFunc(c.listen, func(l listenURL) bool { return l.options.oldCiphers }) {
		kinds = append(kinds, rsaKey)
	}
	switch {
	case c.tls.acme.on:
		return openACME(c, kinds, log)
	case c.tls.cert != "":
		return filesSource(c, len(kinds) > 1, log)
	}
	return selfMadeSource(c, kinds, log)
}

func filesSource(c *config, old bool, log *zap.Logger) (*certificateSource, error) {
	f, err := openCertificateFiles(c.tls, log)
	if err != nil {
		return nil, err
	}
	if _, rsa := f.loaded.PrivateKey.(*rsa.PrivateKey); old && !rsa {
		log.Warn("the certificate has no RSA key: programs too old for elliptic curves cannot use it", zap.String("file", c.tls.cert))
	}
	return &certificateSource{f.get, f.tend}, nil
}

func selfMadeSource(c *config, kinds []keyKind, log *zap.Logger) (*certificateSource, error) {
	var made []*selfMade
	for _, kind := range kinds {
		s, err := openSelfMade(c.store, kind, certificateNames(c), time.Now, log)
		if err != nil {
			return nil, err
		}
		log.Info("certificate of our own: mail programs must trust its authority", zap.String("authority", s.path(authorityFile)))
		made = append(made, s)
	}
	return &certificateSource{
		get: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
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
		tend: func(context.Context) time.Duration { return expiryCheck }, // get renews it
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

// takeCertificate puts the certificate of a configuration in force, if it has a
// listener to show it.
func (s *service) takeCertificate(c *config) error {
	if !slices.ContainsFunc(c.listen, func(l listenURL) bool { return l.security != proxy.Plain }) {
		return nil
	}
	source, err := certificateFor(c, s.log)
	if err != nil {
		return err
	}
	s.certificate.Store(source)
	return nil
}

// tendCertificate looks after the certificate in force until the next call, or
// until stopTending.
func (s *service) tendCertificate() {
	s.stopTending()
	source := s.certificate.Load()
	if source == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.tending = func() { cancel(); <-done }
	go func() {
		defer close(done)
		for {
			again := time.NewTimer(source.tend(ctx))
			select {
			case <-again.C:
			case <-ctx.Done():
				again.Stop()
				return
			}
		}
	}()
}

func (s *service) stopTending() {
	if s.tending != nil {
		s.tending()
		s.tending = nil
	}
}
