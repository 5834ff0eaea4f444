package certs

import (
	"context"
	"crypto/tls"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// TestExpiryIsSaid: a certificate that is not renewed is in the log before mail
// programs refuse it, and after.
func TestExpiryIsSaid(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenSelfMade(dir, CurveKey, []string{"mail.example.org"}, time.Now, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	leaf := s.loaded.Leaf
	for _, tt := range []struct {
		left time.Duration
		want string
	}{
		{300 * 24 * time.Hour, ""}, {70 * 24 * time.Hour, ""},
		{60 * 24 * time.Hour, "ends soon"}, {time.Second, "ends soon"}, {-time.Second, "has expired"},
	} {
		core, logs := observer.New(zapcore.InfoLevel)
		warnOfExpiry(zap.New(core), leaf, "cert.pem", leaf.NotAfter.Add(-tt.left))
		said := ""
		for _, line := range logs.All() {
			said += line.Message
		}
		if (said == "") != (tt.want == "") || !strings.Contains(said, tt.want) {
			t.Errorf("with %v left: %q, want %q", tt.left, said, tt.want)
		}
	}

	// That of files is looked at by itself.
	pem := filepath.Join(dir, CertificateFile)
	core, logs := observer.New(zapcore.InfoLevel)
	f, err := openCertificateFiles(Config{Cert: pem, Key: pem}, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	old := *leaf
	old.NotAfter = time.Now().Add(-time.Hour)
	f.loaded = &tls.Certificate{Certificate: f.loaded.Certificate, PrivateKey: f.loaded.PrivateKey, Leaf: &old}
	if again := f.tend(context.Background()); again != expiryCheck || logs.FilterMessageSnippet("has expired").Len() != 1 {
		t.Errorf("again in %v, logged %v", again, logs.All())
	}
}
