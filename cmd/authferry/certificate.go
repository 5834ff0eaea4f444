package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
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

// certificateFor is the certificate of a configuration: from its files, or one
// made here.
func certificateFor(c *config, log *zap.Logger) (certificateSource, error) {
	if c.tls.cert != "" {
		f, err := openCertificateFiles(c.tls, log)
		if err != nil {
			return nil, err
		}
		return f.get, nil
	}
	s, err := openSelfMade(c.store, certificateNames(c), time.Now, log)
	if err != nil {
		return nil, err
	}
	log.Info("certificate of our own: mail programs must trust its authority", zap.String("authority", s.path(authorityFile)))
	return s.get, nil
}
