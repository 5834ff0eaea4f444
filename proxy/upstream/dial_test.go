package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"authferry/internal/testport"
	"authferry/internal/testtls"
	"authferry/tokens/oauth"
)

// listenWith starts a listener that treats connections as told.
func listenWith(t *testing.T, serve func(net.Conn)) oauth.Endpoint {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return oauth.Endpoint{Host: "127.0.0.1", Port: ln.Addr().(*net.TCPAddr).Port}
}

func handshake(cfg *tls.Config) func(net.Conn) {
	return func(c net.Conn) {
		t := tls.Server(c, cfg)
		if t.Handshake() == nil {
			io.WriteString(t, "hello\r\n")
			io.Copy(io.Discard, t)
		}
	}
}

// patient bounds a wait in a test; nothing is meant to take as long.
const patient = 20 * time.Second

// isRefusal reports whether an error is an answer of the provider.
func isRefusal(err error) bool {
	return errors.As(err, new(*Error)) || errors.Is(err, ErrTokenRefused) || errors.Is(err, ErrProviderRefused)
}

func TestDialSaysWhatFailed(t *testing.T) {
	_, pool := testtls.LoopbackCert()
	closed := listenWith(t, func(net.Conn) {})
	refused := netip.MustParseAddrPort(testport.Refused(t)).Port()
	nobody := oauth.Endpoint{Host: "127.0.0.1", Port: int(refused)}
	silent := listenWith(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	for _, tt := range []struct {
		name     string
		endpoint oauth.Endpoint
		roots    *x509.CertPool
		want     string
	}{
		{"nobody listens", nobody, pool, "connecting to 127.0.0.1 port"},
		{"closes", closed, pool, "TLS handshake with 127.0.0.1 port"},
		{"unknown authority", listenWith(t, handshake(testtls.ServerTLS())), x509.NewCertPool(), "as ca_file in the provider's table"},
		{"not TLS", listenWith(t, func(c net.Conn) { io.WriteString(c, "* OK ready\r\n"); io.Copy(io.Discard, c) }), pool, "does not speak TLS from the first byte"},
		{"silence", silent, pool, "no answer in time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patient)
			if tt.name == "silence" {
				cancel()
				ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
			}
			defer cancel()
			_, err := dial(ctx, &oauth.Provider{RootCAs: tt.roots}, tt.endpoint)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want %q in it", err, tt.want)
			}
			if isRefusal(err) {
				t.Errorf("counts as a refusal: %v", err)
			}
		})
	}
}

func TestDialErrors(t *testing.T) {
	e := oauth.Endpoint{Host: "imap.example.org", Port: 993}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{dialError(e, &net.OpError{Err: &net.DNSError{IsNotFound: true}}), "no address for imap.example.org"},
		{dialError(e, &net.OpError{Err: &net.DNSError{IsTimeout: true}}), "looking up imap.example.org"},
		{dialError(e, context.DeadlineExceeded), "does a firewall block it?"},
		{tlsError(e, x509.HostnameError{Certificate: new(x509.Certificate), Host: e.Host}), "is for other names"},
	} {
		if !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("%q lacks %q", tt.err, tt.want)
		}
	}
}

// TestResumption: sessions are resumed, but not over another set of roots,
// since resuming verifies no chain.
func TestResumption(t *testing.T) {
	_, pool := testtls.LoopbackCert()
	e := listenWith(t, handshake(testtls.ServerTLS()))
	connect := func(roots *x509.CertPool) (resumed bool, err error) {
		c, err := dial(t.Context(), &oauth.Provider{RootCAs: roots}, e)
		if err != nil {
			return false, err
		}
		defer c.Close()
		if _, err := c.ReadLine(100); err != nil { // the ticket comes with the first read
			return false, err
		}
		return c.Conn.(*tls.Conn).ConnectionState().DidResume, nil
	}
	for i, want := range []bool{false, true} {
		if got, err := connect(pool); got != want || err != nil {
			t.Fatalf("connection %d: resumed %v, %v", i+1, got, err)
		}
	}
	same := pool.Clone()
	if got, err := connect(same); !got || err != nil {
		t.Errorf("after a reload of the same roots: resumed %v, %v", got, err)
	}
	if _, err := connect(x509.NewCertPool()); !errors.As(err, new(x509.UnknownAuthorityError)) {
		t.Errorf("with other roots: %v", err)
	}
}
