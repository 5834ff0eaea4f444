package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authferry/internal/config"
	"authferry/internal/testport"
)

// trusted are authferry's own authorities, of both kinds.
func (s *show) trusted(t *testing.T) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	for _, file := range []string{"ca.pem", "ca-rsa.pem"} {
		pem, err := os.ReadFile(filepath.Join(s.dir, "state", file))
		if err != nil {
			t.Fatal(err)
		}
		pool.AppendCertsFromPEM(pem)
	}
	return pool
}

// reconfigured puts a changed configuration file in force.
func (s *show) reconfigured(t *testing.T, change func(string) string) {
	t.Helper()
	before, err := os.ReadFile(s.configPath())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.configPath(), []byte(change(string(before))), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(s.configPath())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.service.Reload(c); err != nil {
		t.Fatal(err)
	}
}

// where returns the address of the listener with this URL in the configuration.
func (s *show) where(written string) string {
	for _, l := range s.service.Status().Listeners {
		if l.URL == written {
			return l.Address
		}
	}
	return ""
}

// TestOldClients: programs that support no newer TLS than 1.0, only RSA key exchange,
// or only 3DES can connect to the listeners that allow it, and to no other.
func TestOldClients(t *testing.T) {
	t.Parallel()
	s, log := newShow(t)
	s.reconfigured(t, func(before string) string {
		return strings.Replace(before, `listen = [`, `listen = ["imaps://127.0.0.1:0", `, 1) + `
[[listener]]
url = "imaps://localhost:0"
min_tls = "1.0"
[[listener]]
url = "imaps://localhost:0/"
min_tls = "1.3"
`
	})
	if _, err := log.find(`imaps://localhost:0: TLS as old as this can be broken`); err != nil {
		t.Error(err)
	}
	roots := s.trusted(t)
	for _, client := range []struct {
		name    string
		version uint16
		suite   uint16
		modern  bool
	}{
		{"Windows XP", tls.VersionTLS10, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, false},
		{"TLS 1.0", tls.VersionTLS10, tls.TLS_RSA_WITH_AES_128_CBC_SHA, false},
		{"TLS 1.0 with curves", tls.VersionTLS10, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, false},
		{"TLS 1.1", tls.VersionTLS11, tls.TLS_RSA_WITH_AES_256_CBC_SHA, false},
		{"TLS 1.2, RSA", tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_GCM_SHA256, false},
		{"TLS 1.2, 3DES", tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA, false},
		{"TLS 1.2", tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, true},
		{"TLS 1.3", tls.VersionTLS13, 0, true},
	} {
		t.Run(client.name, func(t *testing.T) {
			config := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS10, MaxVersion: client.version}
			if client.suite != 0 {
				config.CipherSuites = []uint16{client.suite}
			}
			login := func(address string) error {
				conn, err := tls.Dial("tcp", address, config)
				if err != nil {
					return err
				}
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(patience))
				return loginIMAP(conn, demoMailbox, s.password.Reveal())
			}
			if err := login(s.where("imaps://localhost:0")); err != nil {
				t.Errorf("where it may: %v", err)
			}
			if err := login(s.where("imaps://127.0.0.1:0")); (err == nil) != client.modern {
				t.Errorf("on the usual listener: %v", err)
			}
			if err := login(s.where("imaps://localhost:0/")); (err == nil) != (client.version == tls.VersionTLS13) {
				t.Errorf("where TLS 1.3 is asked for: %v", err)
			}
		})
	}
}

// TestReloadOfListenerOptions: options of a listener change, sessions stay.
func TestReloadOfListenerOptions(t *testing.T) {
	t.Parallel()
	s, log := newShow(t)
	address := testport.Free(t)
	s.reconfigured(t, func(before string) string {
		return before + "[[listener]]\nurl = \"imap://" + address + "\"\n"
	})
	kept, err := hold("imap", address, demoMailbox, s.password.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer kept.close()
	s.reconfigured(t, func(before string) string {
		return before + "proxy_protocol = [\"127.0.0.0/8\"]\nallow = [\"192.0.2.0/24\"]\n"
	})
	if _, err := tryLogin("imap", address, demoMailbox, s.password.Reveal()); err == nil {
		t.Error("a program comes in without a PROXY header")
	}
	if _, err := log.find(`no valid PROXY header`); err != nil {
		t.Error(err)
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, "PROXY TCP4 192.0.2.7 192.0.2.1 40000 143\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := loginIMAP(conn, demoMailbox, s.password.Reveal()); err != nil {
		t.Errorf("with a PROXY header: %v", err)
	}
	if _, err := log.find(`session established.*"client":"192.0.2.7:40000"`); err != nil {
		t.Error(err)
	}
	if err := kept.noop(); err != nil {
		t.Errorf("a session from before: %v", err)
	}
	open := 0
	for _, l := range s.service.Status().Listeners {
		if l.Address == address {
			open++
		}
	}
	if open != 1 {
		t.Errorf("%d listeners at %s, want the one that takes a PROXY header", open, address)
	}
}

// TestEitherListener: one port, both kinds of program.
func TestEitherListener(t *testing.T) {
	t.Parallel()
	s, _ := newShow(t)
	s.reconfigured(t, func(before string) string {
		return strings.Replace(before, `listen = [`, `listen = ["imap+either://127.0.0.1:0", `, 1) + "[limits]\nhello = \"500ms\"\n"
	})
	address := s.where("imap+either://127.0.0.1:0")
	pem, err := os.ReadFile(filepath.Join(s.dir, "state", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	config := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
	first, err := tls.Dial("tcp", address, config)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if err := loginIMAP(first, demoMailbox, s.password.Reveal()); err != nil {
		t.Errorf("TLS from the first byte: %v", err)
	}
	plain, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	plain.SetDeadline(time.Now().Add(patience))
	if greeting, err := bufio.NewReader(plain).ReadString('\n'); !strings.Contains(greeting, "STARTTLS") {
		t.Errorf("greeted with %q, %v", greeting, err)
	}
}
