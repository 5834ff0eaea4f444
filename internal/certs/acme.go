package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Certificates by ACME (RFC 8555). The protocol is x/crypto/acme's; its autocert
// is not used because it asks for certificates while mail programs wait in their
// handshake, tries TLS-ALPN-01 where only HTTP-01 is wanted, and cannot be
// stopped. Here nothing is asked for on behalf of whoever connects: one
// certificate for all names is there at the start or obtained soon after, kept
// in the store directory, and renewed in time.
const (
	acmeDir        = "acme" // in the store directory; in it, a directory for each authority
	accountKeyFile = "account.key"
	orderTime      = 5 * time.Minute // for one order, all in all
	// firstRetry and maxRetry space the orders that fail: Let's Encrypt takes
	// five failures an hour for a name, and then none for an hour.
	// https://letsencrypt.org/docs/rate-limits/
	firstRetry = 5 * time.Minute
	maxRetry   = 6 * time.Hour
	// acmeCheck is how often the end of the certificate is looked at.
	acmeCheck = time.Hour
)

// acmeCertificates obtains and serves certificates, one of each kind of key.
type acmeCertificates struct {
	ACME
	dir   string
	kinds []keyKind
	now   func() time.Time
	log   *zap.Logger

	failures int // orders in a row

	mu    sync.Mutex
	pairs []*tls.Certificate // nil: not obtained yet
}

// openACME serves what was obtained before, and leaves the rest to tend.
func openACME(c ACME, dir string, kinds []keyKind, log *zap.Logger) (*Source, error) {
	a, err := newACME(c, dir, kinds, log)
	if err != nil {
		return nil, err
	}
	return &Source{a.get, a.tend}, nil
}

func newACME(c ACME, store string, kinds []keyKind, log *zap.Logger) (*acmeCertificates, error) {
	u, err := url.Parse(c.Directory)
	if err != nil {
		return nil, err
	}
	// What one authority signed does not stand in for another's: a trial with a
	// staging directory leaves certificates that nobody trusts.
	place := strings.Trim(strings.NewReplacer(":", "_", "/", "_").Replace(u.Host+u.Path), "_")
	a := &acmeCertificates{
		ACME: c, dir: filepath.Join(store, acmeDir, place), kinds: kinds,
		now: time.Now, log: log, pairs: make([]*tls.Certificate, len(kinds)),
	}
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return nil, err
	}
	for i, kind := range kinds {
		file := a.path(kind.file(CertificateFile))
		pair, err := LoadPair(file, file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			log.Warn("the certificate that was obtained before cannot be used; another is asked for", zap.Error(err))
		default:
			a.pairs[i] = pair
		}
	}
	return a, nil
}

func (a *acmeCertificates) path(name string) string { return filepath.Join(a.dir, name) }

// get is for [tls.Config.GetCertificate]. The name a program asks for makes no
// difference: many old ones send none, and with a wrong one it is better shown
// which names are right.
func (a *acmeCertificates) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var there []*tls.Certificate
	for _, pair := range a.pairs {
		if pair != nil {
			there = append(there, pair)
		}
	}
	if len(there) == 0 {
		return nil, fmt.Errorf("no certificate from %s yet: the log says why", a.Directory)
	}
	return fitting(hello, there), nil
}

// tend obtains what is due.
func (a *acmeCertificates) tend(ctx context.Context) time.Duration {
	for i, kind := range a.kinds {
		a.mu.Lock()
		old := a.pairs[i]
		a.mu.Unlock()
		if !a.due(old) {
			continue
		}
		pair, err := a.obtain(ctx, kind)
		switch {
		case ctx.Err() != nil:
			return maxRetry // stopping
		case err != nil:
			again := min(firstRetry<<min(a.failures, 10), maxRetry)
			a.failures++
			a.complain(old, err, again)
			return again
		}
		a.failures = 0
		a.mu.Lock()
		a.pairs[i] = pair
		a.mu.Unlock()
		a.log.Info("certificate obtained", zap.String("from", a.Directory), zap.Strings("names", a.Hosts), zap.Time("until", pair.Leaf.NotAfter))
	}
	return acmeCheck
}

// due tells whether a certificate is to be replaced: with a third of its life
// left, which suits those of 90 days as well as those of six.
func (a *acmeCertificates) due(pair *tls.Certificate) bool {
	if pair == nil {
		return true
	}
	leaf := pair.Leaf
	if a.now().After(leaf.NotAfter.Add(-leaf.NotAfter.Sub(leaf.NotBefore) / 3)) {
		return true
	}
	for _, host := range a.Hosts {
		if leaf.VerifyHostname(host) != nil {
			return true
		}
	}
	return false
}

func (a *acmeCertificates) complain(old *tls.Certificate, err error, again time.Duration) {
	fields := []zap.Field{zap.String("from", a.Directory), zap.Strings("names", a.Hosts), zap.Duration("again in", again), zap.Error(err)}
	switch {
	case old == nil:
		a.log.Error("certificate not obtained: there is none to show to mail programs", fields...)
	case a.now().After(old.Leaf.NotAfter):
		a.log.Error("certificate not renewed, and it has expired: mail programs refuse it", append(fields, zap.Time("until", old.Leaf.NotAfter))...)
	default:
		a.log.Warn("certificate not renewed, it is used until it ends", append(fields, zap.Time("until", old.Leaf.NotAfter))...)
	}
}
