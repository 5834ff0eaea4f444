package certs

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"

	"authferry/internal/atomicfile"
)

// clock is a time that tests set.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func TestSelfMadeCertificate(t *testing.T) {
	dir := t.TempDir()
	c := &clock{time.Now()}
	names := []string{"mail.example.org", "127.0.0.1", "::1", "localhost", "127.0.0.1"}
	s, err := OpenSelfMade(dir, CurveKey, names, c.now, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	first := verified(t, dir, s, c.t)

	// Until it is due, and over a restart, it stays the same.
	c.t = c.t.Add(300 * 24 * time.Hour)
	if s, err = OpenSelfMade(dir, CurveKey, names, c.now, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	if !verified(t, dir, s, c.t).Equal(first) {
		t.Error("made anew at a restart")
	}
	// It is renewed while in use, by the same authority.
	c.t = first.NotAfter.Add(-renewBefore + time.Minute)
	renewed := verified(t, dir, s, c.t)
	if renewed.Equal(first) || !renewed.NotAfter.After(first.NotAfter) {
		t.Error("not renewed")
	}
	// Another name makes another one.
	if s, err = OpenSelfMade(dir, CurveKey, append(names, "192.0.2.1"), c.now, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	if verified(t, dir, s, c.t).VerifyHostname("192.0.2.1") != nil {
		t.Error("a new name is not in it")
	}
	// An authority put in place by hand signs from then on.
	other := t.TempDir()
	if _, err := OpenSelfMade(other, CurveKey, names, c.now, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{AuthorityFile, authorityKey} {
		if err := os.Rename(filepath.Join(other, file), filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	if s, err = OpenSelfMade(dir, CurveKey, names, c.now, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	verified(t, dir, s, c.t)
}

// verified returns the certificate that a client would be shown, once the
// client has accepted it.
func verified(t *testing.T, dir string, s *selfMade, at time.Time) *x509.Certificate {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(dir, AuthorityFile))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	pair, err := s.get(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mail.example.org", "127.0.0.1", "::1"} {
		_, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: at})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return pair.Leaf
}

// TestRenewalFails: a certificate that cannot be replaced is used to its end,
// and beyond.
func TestRenewalFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c := &clock{time.Now()}
	s, err := OpenSelfMade(dir, CurveKey, []string{"localhost"}, c.now, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	c.t = c.t.Add(certificateLife)
	if pair, err := s.get(nil); err != nil || pair == nil {
		t.Error(err)
	}
	if _, err := OpenSelfMade(dir, CurveKey, []string{"localhost"}, c.now, zap.NewNop()); err == nil {
		t.Error("without a directory there is a certificate")
	}
}

// TestCertificateFiles: replaced files are noticed by themselves, and half a
// replacement changes nothing.
func TestCertificateFiles(t *testing.T) {
	dir := t.TempDir()
	c := Config{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	put := func(name string, files ...string) {
		t.Helper()
		from := t.TempDir()
		if _, err := OpenSelfMade(from, CurveKey, []string{name}, time.Now, zap.NewNop()); err != nil {
			t.Fatal(err)
		}
		pem, err := os.ReadFile(filepath.Join(from, CertificateFile))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if err := atomicfile.Write(file, pem, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	put("one.example.org", c.Cert, c.Key)
	f, err := openCertificateFiles(c, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		t.Helper()
		pair, err := f.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf.DNSNames[0]
	}
	put("two.example.org", c.Cert)
	if n := shown(); n != "one.example.org" {
		t.Errorf("with a key that does not fit, %s is shown", n)
	}
	put("three.example.org", c.Cert, c.Key)
	if n := shown(); n != "three.example.org" {
		t.Errorf("after a renewal, %s is shown", n)
	}
	if err := os.Remove(c.Key); err != nil {
		t.Fatal(err)
	}
	if n := shown(); n != "three.example.org" {
		t.Errorf("without a key, %s is shown", n)
	}
}
