package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
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

func TestACME(t *testing.T) {
	for _, way := range []string{"http-01", "tls-alpn-01"} {
		t.Run(way, func(t *testing.T) {
			f, store := startFakeACME(t), t.TempDir()
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
			// Nothing more is asked for until it is due, over a restart too, and
			// what is kept is for nobody else's eyes.
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
			private(t, filepath.Join(store, acmeDir))
			// When it is due and the authority cannot be reached, it is used on.
			a.now = func() time.Time { return first.NotAfter.Add(-29 * 24 * time.Hour) }
			if again := a.tend(t.Context()); again != firstRetry || a.pairs[0] == nil {
				t.Errorf("tried again in %v", again)
			}
		})
	}
}

func private(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestACMERenews: a new certificate when a third of the old one's life is left,
// or when there is another name, with a key of each kind that is wanted.
func TestACMERenews(t *testing.T) {
	f, store := startFakeACME(t), t.TempDir()
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
	a, err := newACME(c, t.TempDir(), []keyKind{CurveKey}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.obtain(t.Context(), CurveKey)
	if err == nil || !strings.Contains(err.Error(), `reachable under that name on port 80 and from there to acme_http: the authority says "Timeout during connect`) {
		t.Errorf("got %v", err)
	}
	if again := a.tend(t.Context()); again != firstRetry {
		t.Errorf("again in %v", again)
	}
	if err := a.ask(t); err != nil {
		t.Errorf("by the other way: %v", err)
	}
	a.failures = 40
	a.pairs[0], a.HTTP, a.ALPN = nil, "", f.Listener.Addr().String()
	if again := a.tend(t.Context()); again != maxRetry {
		t.Errorf("again in %v", again)
	}
	_, err = a.obtain(t.Context(), CurveKey)
	if err == nil || !strings.Contains(err.Error(), "ports under 1024 need privileges") {
		t.Errorf("a port that is taken: %v", err)
	}
	a.Roots = x509.NewCertPool()
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
	defer cancel()
	if _, err = a.obtain(ctx, CurveKey); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an authority behind an unknown certificate: %v", err)
	}
}
