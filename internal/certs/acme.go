package certs

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/crypto/acme"

	"authferry/internal/printable"
)

// Certificates by ACME (RFC 8555). golang.org/x/crypto/acme speaks the protocol.
// Its autocert is not used because it orders certificates while mail programs wait
// in their handshake, tries TLS-ALPN-01 where only HTTP-01 is configured, and
// cannot be stopped; docs/dependencies.md says why certmagic is not. Here one
// certificate for all names is in the store at the start or ordered soon after,
// and renewed in time. A client that connects causes no order.
const (
	orderTime = 5 * time.Minute // for one order as a whole
	// firstRetry and maxRetry space the orders that fail: Let's Encrypt accepts
	// five failures an hour for a name, and then none for an hour.
	// https://letsencrypt.org/docs/rate-limits/
	firstRetry = 5 * time.Minute
	maxRetry   = 6 * time.Hour
	// acmeCheck is how often the end of the certificate is checked.
	acmeCheck = time.Hour
)

// acmeCertificates orders and serves certificates, one of each kind of key.
type acmeCertificates struct {
	ACME
	shared acmeStore
	kinds  []keyKind
	now    func() time.Time
	log    *zap.Logger

	failures int    // orders in a row
	tried    []bool // by kind: has ordered since the start

	mu    sync.Mutex
	pairs []*tls.Certificate // nil: not obtained yet
}

// openACME serves what was obtained before, and leaves the rest to tend.
func openACME(c ACME, o Options, kinds []keyKind, log *zap.Logger) (*Source, error) {
	a, err := newACME(c, o, kinds, log)
	if err != nil {
		return nil, err
	}
	return &Source{a.get, a.tend}, nil
}

func newACME(c ACME, o Options, kinds []keyKind, log *zap.Logger) (*acmeCertificates, error) {
	// The hostname alone does not tell two servers of one machine apart. Both names
	// survive a restart, after which a server may order at once.
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	a := &acmeCertificates{
		ACME: c, kinds: kinds, now: time.Now, log: log,
		shared: acmeStore{documents: o.Documents, name: acmeDocument(c.Directory), server: host + " " + dir},
		tried:  make([]bool, len(kinds)), pairs: make([]*tls.Certificate, len(kinds)),
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTime)
	defer cancel()
	state, err := a.shared.read(ctx)
	if err != nil {
		return nil, err
	}
	for i, kind := range kinds {
		if a.pairs[i], err = state.usable(kind, c.Hosts); err != nil {
			log.Warn("the certificate that was obtained before cannot be used; another is ordered", zap.Error(err))
		}
	}
	return a, nil
}

// get is for [tls.Config.GetCertificate]. The name that a program asks for makes
// no difference: many old programs send none, and a program with a wrong name
// shows its user the right ones.
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

// tend orders what is due.
func (a *acmeCertificates) tend(ctx context.Context) time.Duration {
	for i := range a.kinds {
		if again := a.tendOne(ctx, i); again != acmeCheck {
			return again
		}
	}
	return acmeCheck
}

func (a *acmeCertificates) pair(i int) *tls.Certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pairs[i]
}

func (a *acmeCertificates) use(i int, pair *tls.Certificate, message string) {
	a.mu.Lock()
	a.pairs[i] = pair
	a.mu.Unlock()
	a.log.Info(message, zap.String("from", a.Directory), zap.Strings("names", a.Hosts), zap.Time("until", pair.Leaf.NotAfter))
}

// tendOne orders one kind of certificate if it is due, unless another server that
// shares the store has ordered it or is about to.
func (a *acmeCertificates) tendOne(ctx context.Context, i int) time.Duration {
	kind, old := a.kinds[i], a.pair(i)
	if !a.due(old) {
		return acmeCheck
	}
	claim, err := a.shared.claim(ctx, kind, a.Hosts, !a.tried[i], a.now(), a.due)
	switch {
	case ctx.Err() != nil:
		return maxRetry // stopping
	case err != nil:
		a.complain(old, err, firstRetry)
		return firstRetry
	case claim.pair != nil:
		a.failures = 0
		a.use(i, claim.pair, "certificate obtained by another server")
		return acmeCheck
	case claim.wait > 0:
		return claim.wait
	}
	a.tried[i] = true
	a.failures = claim.failures
	pair, content, err := a.obtain(ctx, kind, claim.account)
	again := min(firstRetry<<min(a.failures, 10), maxRetry)
	if ctx.Err() != nil {
		again = 0 // stopping: another server may order at once
	}
	stored := a.shared.finish(ctx, kind, a.Hosts, content, a.now().Add(again))
	switch {
	case ctx.Err() != nil:
		return maxRetry
	case err != nil:
		a.failures++
		a.complain(old, errors.Join(err, stored), again)
		return again
	case stored != nil:
		a.log.Warn("the certificate is used, but could not be stored: the next start orders another", zap.Error(stored))
	}
	a.failures = 0
	a.use(i, pair, "certificate obtained")
	return acmeCheck
}

// due reports whether a certificate needs to be replaced: with a third of its life
// left, which suits certificates of 90 days and of six.
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

// obtain orders a certificate for all names, and returns it and its PEM form.
func (a *acmeCertificates) obtain(ctx context.Context, kind keyKind, account crypto.Signer) (*tls.Certificate, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, orderTime)
	defer cancel()
	client, done := a.client(account)
	defer done()
	key, err := kind.generate()
	if err != nil {
		return nil, nil, err
	}
	chain, err := a.order(ctx, client, key)
	if err != nil {
		return nil, nil, err
	}
	whole, err := encodeKey(key)
	if err != nil {
		return nil, nil, err
	}
	for _, der := range chain {
		whole = append(whole, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	pair, err := tls.X509KeyPair(whole, whole)
	if err != nil {
		return nil, nil, fmt.Errorf("the authority signed another key: %w", err)
	}
	return &pair, whole, nil
}

// client returns a new client for each order: there is one in two months.
func (a *acmeCertificates) client(account crypto.Signer) (_ *acme.Client, done func()) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: a.Roots, MinVersion: tls.VersionTLS12}
	return &acme.Client{
		Key: account, DirectoryURL: a.Directory, UserAgent: "authferry",
		HTTPClient: &http.Client{Transport: transport, Timeout: 30 * time.Second},
	}, transport.CloseIdleConnections
}

// order goes through RFC 8555 §7.4 with authferry's account.
func (a *acmeCertificates) order(ctx context.Context, client *acme.Client, key crypto.Signer) ([][]byte, error) {
	account := &acme.Account{}
	if a.Email != "" {
		account.Contact = []string{"mailto:" + a.Email}
	}
	if _, err := client.Register(ctx, account, acme.AcceptTOS); err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil, fmt.Errorf("registering with the authority: %w", acmeError(err))
	}
	order, err := client.AuthorizeOrder(ctx, acme.DomainIDs(a.Hosts...))
	if err != nil {
		return nil, fmt.Errorf("ordering a certificate: %w", acmeError(err))
	}
	challenges, err := a.openChallenges()
	if err != nil {
		return nil, err
	}
	defer challenges.close()
	for _, u := range order.AuthzURLs {
		if err := a.prove(ctx, client, challenges, u); err != nil {
			return nil, err
		}
	}
	if order, err = client.WaitOrder(ctx, order.URI); err != nil {
		return nil, fmt.Errorf("waiting for the authority: %w", acmeError(err))
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: a.Hosts}, key)
	if err != nil {
		return nil, err
	}
	chain, _, err := client.CreateOrderCert(ctx, order.FinalizeURL, csr, true)
	if err != nil {
		return nil, fmt.Errorf("fetching the certificate: %w", acmeError(err))
	}
	return chain, nil
}

// acmeError leaves out of an error what only fills a line: URLs and headers of
// the authority. Its words are quoted, for they may be anything.
func acmeError(err error) error {
	var problem *acme.Error
	var authorization *acme.AuthorizationError
	var network *net.OpError
	switch {
	case errors.As(err, &authorization) && len(authorization.Errors) > 0:
		return acmeError(authorization.Errors[0])
	case errors.As(err, &problem):
		kind := strings.TrimPrefix(problem.ProblemType, "urn:ietf:params:acme:error:")
		return fmt.Errorf("the authority says %s (%d %s)", printable.Quote(problem.Detail), problem.StatusCode, printable.ASCII(kind, 60))
	case errors.As(err, &network):
		return fmt.Errorf("no connection to the authority: %w", network)
	}
	return err
}
