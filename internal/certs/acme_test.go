package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"authferry/internal/testport"
)

// ask makes the source ask for a certificate as often as it would by itself,
// without the waiting.
func (a *acmeCertificates) ask(t *testing.T) error {
	a.tend(t.Context())
	_, err := a.get(&tls.ClientHelloInfo{})
	return err
}

// order1 orders as tend does, with a new account.
func (a *acmeCertificates) order1(ctx context.Context) (*tls.Certificate, error) {
	account, err := (&acmeState{}).accountKey()
	if err != nil {
		return nil, err
	}
	pair, _, err := a.obtain(ctx, CurveKey, account)
	return pair, err
}

// memory keeps documents for tests.
type memory struct {
	mu        sync.Mutex
	documents map[string][]byte
	failing   error
}

func (m *memory) Document(_ context.Context, name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.documents[name], m.failing
}

func (m *memory) UpdateDocument(_ context.Context, name string, edit func([]byte) ([]byte, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failing != nil {
		return m.failing
	}
	next, err := edit(m.documents[name])
	if err == nil {
		m.documents[name] = next
	}
	return err
}

// options are those of a server with its own state directory.
func options(t *testing.T, m *memory) Options { return Options{Dir: t.TempDir(), Documents: m} }

func TestACME(t *testing.T) {
	for _, way := range []string{"http-01", "tls-alpn-01"} {
		t.Run(way, func(t *testing.T) {
			f, store := startFakeACME(t), options(t, &memory{documents: map[string][]byte{}})
			c := ACME{On: true, Hosts: []string{"imap.example.org", "mail.example.org"}, Directory: f.URL + "/directory", Roots: f.roots()}
			if way == "http-01" {
				c.HTTP = testport.Free(t)
			} else {
				c.ALPN = testport.Free(t)
			}
			f.http, f.alpn = c.HTTP, c.ALPN
			a, err := newACME(c, store, []keyKind{CurveKey}, zap.NewNop())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.get(&tls.ClientHelloInfo{}); err == nil || !strings.Contains(err.Error(), "no certificate from") {
				t.Errorf("before there is one: %v", err)
			}
			if err := a.ask(t); err != nil {
				t.Fatal(err)
			}
			if !f.terms {
				t.Error("the terms were not agreed to")
			}
			first := a.pairs[0].Leaf
			for _, host := range c.Hosts {
				if err := first.VerifyHostname(host); err != nil {
					t.Error(err)
				}
			}
			// Nothing more is ordered until it is due, also after a restart.
			if err := a.ask(t); err != nil || f.orders != 1 {
				t.Errorf("%d orders, %v", f.orders, err)
			}
			f.Server.Close()
			if a, err = newACME(c, store, []keyKind{CurveKey}, zap.NewNop()); err != nil {
				t.Fatal(err)
			}
			if err := a.ask(t); err != nil || !a.pairs[0].Leaf.Equal(first) {
				t.Errorf("without a network after a restart: %v", err)
			}
			// When it is due and the authority cannot be reached, it is used on.
			a.now = func() time.Time { return first.NotAfter.Add(-29 * 24 * time.Hour) }
			if again := a.tend(t.Context()); again != firstRetry || a.pairs[0] == nil {
				t.Errorf("tried again in %v", again)
			}
		})
	}
}

// TestACMERenews: a new certificate when a third of the old one's life is left,
// or when there is another name, with a key of each kind that is wanted.
func TestACMERenews(t *testing.T) {
	f, store := startFakeACME(t), options(t, &memory{documents: map[string][]byte{}})
	c := ACME{On: true, Hosts: []string{"mail.example.org"}, Directory: f.URL + "/directory", Roots: f.roots(), HTTP: testport.Free(t)}
	f.http = c.HTTP
	a, err := newACME(c, store, []keyKind{CurveKey, rsaKey}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.ask(t); err != nil || f.orders != 2 {
		t.Fatalf("%d orders, %v", f.orders, err)
	}
	if a.pairs[0].Leaf.PublicKeyAlgorithm != x509.ECDSA || a.pairs[1].Leaf.PublicKeyAlgorithm != x509.RSA {
		t.Error("not one key of each kind")
	}
	a.now = func() time.Time { return time.Now().Add(59 * 24 * time.Hour) }
	if a.ask(t); f.orders != 2 {
		t.Error("renewed before its time")
	}
	a.now = func() time.Time { return time.Now().Add(61 * 24 * time.Hour) }
	if a.tend(t.Context()); f.orders < 3 {
		t.Error("not renewed in time")
	}
	c.Hosts = append(c.Hosts, "smtp.example.org")
	if a, err = newACME(c, store, []keyKind{CurveKey}, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	if err := a.ask(t); err != nil || a.pairs[0].Leaf.VerifyHostname("smtp.example.org") != nil {
		t.Errorf("a new name: %v", err)
	}
}

// TestACMEFails: what fails is named with its fix, and tried again later and
// later, in turns by each way.
func TestACMEFails(t *testing.T) {
	f := startFakeACME(t)
	c := ACME{On: true, Hosts: []string{"mail.example.org"}, Directory: f.URL + "/directory", Roots: f.roots(),
		HTTP: testport.Free(t), ALPN: testport.Free(t)}
	f.http, f.alpn = testport.Free(t), c.ALPN // port 80 leads elsewhere
	a, err := newACME(c, options(t, &memory{documents: map[string][]byte{}}), []keyKind{CurveKey}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.order1(t.Context())
	if err == nil || !strings.Contains(err.Error(), `reachable under that name on port 80 and from there to acme_http: the authority says "Timeout during connect`) {
		t.Errorf("got %v", err)
	}
	if again := a.tend(t.Context()); again != firstRetry {
		t.Errorf("again in %v", again)
	}
	if err := a.ask(t); err != nil {
		t.Errorf("by the other way: %v", err)
	}
	a.pairs[0], a.HTTP, a.ALPN = nil, "", f.Listener.Addr().String()
	if err := a.shared.update(t.Context(), func(s *acmeState) (bool, error) {
		*s.Certificates[recordKey(CurveKey, c.Hosts)] = acmeRecord{Server: a.shared.server, Failures: 40}
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	if again := a.tend(t.Context()); again != maxRetry {
		t.Errorf("again in %v", again)
	}
	_, err = a.order1(t.Context())
	if err == nil || !strings.Contains(err.Error(), "ports under 1024 need privileges") {
		t.Errorf("a port that is taken: %v", err)
	}
	a.Roots = x509.NewCertPool()
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
	defer cancel()
	if _, err = a.order1(ctx); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an authority behind an unknown certificate: %v", err)
	}
}

// TestACMEShared: servers that share a store share one certificate, and one of
// them orders at a time.
func TestACMEShared(t *testing.T) {
	f, m := startFakeACME(t), &memory{documents: map[string][]byte{}}
	c := ACME{On: true, Hosts: []string{"mail.example.org"}, Directory: f.URL + "/directory", Roots: f.roots(), HTTP: testport.Free(t)}
	f.http = c.HTTP
	var servers []*acmeCertificates
	for range 3 {
		a, err := newACME(c, options(t, m), []keyKind{CurveKey}, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, a)
	}
	one, two, three := servers[0], servers[1], servers[2]
	now := time.Now()
	for _, a := range servers {
		a.now = func() time.Time { return now }
	}
	// One claims; another waits until it has finished, or has crashed.
	if claim, err := one.shared.claim(t.Context(), CurveKey, c.Hosts, true, now, one.due); err != nil || claim.account == nil {
		t.Fatalf("%+v, %v", claim, err)
	}
	if again := two.tend(t.Context()); again != claimPoll || f.orders != 0 {
		t.Errorf("beside an order: again in %v, %d orders", again, f.orders)
	}
	now = now.Add(claimTime)
	for _, a := range []*acmeCertificates{two, one, three} {
		if err := a.ask(t); err != nil || !a.pairs[0].Leaf.Equal(two.pairs[0].Leaf) {
			t.Errorf("after a crash: %v", err)
		}
	}
	if f.orders != 1 {
		t.Errorf("%d orders", f.orders)
	}
	// A renewal that fails is tried by one server, not by each.
	f.http = testport.Free(t)
	now = now.Add(61 * 24 * time.Hour)
	one.tried[0], three.tried[0] = true, true
	if again := one.tend(t.Context()); again != firstRetry || f.orders != 2 {
		t.Errorf("again in %v, %d orders", again, f.orders)
	}
	if again := three.tend(t.Context()); again != firstRetry || f.orders != 2 {
		t.Errorf("another server: again in %v, %d orders", again, f.orders)
	}
	now = now.Add(firstRetry)
	if again := three.tend(t.Context()); again != 2*firstRetry || f.orders != 3 {
		t.Errorf("another server, later: again in %v, %d orders", again, f.orders)
	}
	// One that has just started waits no longer than the first retry.
	now = now.Add(firstRetry)
	f.http = c.HTTP
	one.tried[0] = false
	if again := one.tend(t.Context()); again != acmeCheck || f.orders != 4 {
		t.Errorf("after a restart: again in %v, %d orders", again, f.orders)
	}
	// The fake authority signs as of today.
	now, three.pairs[0] = time.Now(), nil
	if three.tend(t.Context()); f.orders != 4 || !three.pairs[0].Leaf.Equal(one.pairs[0].Leaf) {
		t.Errorf("%d orders", f.orders)
	}
}

// TestACMEStops: a server that stops during its order leaves it to others at once.
func TestACMEStops(t *testing.T) {
	f, m := startFakeACME(t), &memory{documents: map[string][]byte{}}
	c := ACME{On: true, Hosts: []string{"mail.example.org"}, Directory: f.URL + "/directory", Roots: f.roots(), HTTP: testport.Free(t)}
	a, err := newACME(c, options(t, m), []keyKind{CurveKey}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.shared.finish(ctx, CurveKey, c.Hosts, nil, a.now()); err != nil {
		t.Fatal(err)
	}
	other := acmeStore{documents: m, name: a.shared.name, server: "other"}
	if claim, err := other.claim(t.Context(), CurveKey, c.Hosts, false, a.now().Add(1), a.due); err != nil || claim.wait != 0 || claim.failures != 0 {
		t.Errorf("%+v, %v", claim, err)
	}
	// Without the store there is no order: it would be lost.
	m.failing = errors.New("no database")
	if again := a.tend(t.Context()); again != firstRetry || f.orders != 0 {
		t.Errorf("again in %v, %d orders", again, f.orders)
	}
	if _, err := newACME(c, options(t, m), []keyKind{CurveKey}, zap.NewNop()); !errors.Is(err, m.failing) {
		t.Errorf("started without the store: %v", err)
	}
}
