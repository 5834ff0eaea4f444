//go:build acme

package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"authferry/internal/certs"
	"authferry/internal/testport"
)

// TestACMEPebble: `authferry serve` gets its certificate from Pebble, which checks
// every signature and challenge, with each of the two challenge types. See .ci/acme.
func TestACMEPebble(t *testing.T) {
	for _, way := range []string{"acme_http", "acme_alpn"} {
		t.Run(way, func(t *testing.T) {
			p := startPebble(t)
			dir := t.TempDir()
			config := filepath.Join(dir, "config.toml")
			settings := fmt.Sprintf(`listen = ["imaps://127.0.0.1:0", "smtp+starttls://127.0.0.1:0"]
store = "file:state"
[[listener]]
url = "pop3s://127.0.0.1:0"
min_tls = "1.0"
[tls]
acme = true
acme_hosts = ["imap.example.org", "smtp.example.org"]
acme_email = "admin@example.org"
acme_directory = "https://%s/dir"
acme_ca_file = %q
acme_http = %q
acme_alpn = %q
`, p.directory, p.ca, map[bool]string{true: p.http}[way == "acme_http"], map[bool]string{true: p.alpn}[way == "acme_alpn"])
			if err := os.WriteFile(config, []byte(settings), 0o600); err != nil {
				t.Fatal(err)
			}
			s := startServe(t, dir, "--config", config)
			if _, err := s.stderr.find(`certificate obtained(?s:.*)certificate obtained`); err != nil {
				t.Fatal(err)
			}
			roots := p.roots(t)
			for _, host := range []string{"imap.example.org", "smtp.example.org"} {
				conn, err := tls.Dial("tcp", s.address("imap"), &tls.Config{RootCAs: roots, ServerName: host})
				if err != nil {
					t.Fatal(err)
				}
				conn.Close()
			}
			// The other certificate is for programs that know RSA only.
			old, err := tls.Dial("tcp", s.address("pop3"), &tls.Config{RootCAs: roots, ServerName: "imap.example.org",
				MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}})
			if err != nil {
				t.Fatal(err)
			}
			old.Close()
			// After a restart it uses the certificate that was stored.
			s.kill()
			again := startServe(t, dir, "--config", config)
			conn, err := tls.Dial("tcp", again.address("imap"), &tls.Config{RootCAs: roots, ServerName: "imap.example.org"})
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			if strings.Contains(again.stderr.String(), "certificate obtained") {
				t.Error("another certificate was asked for")
			}
		})
	}
}

// TestACMEReplicas: three servers over one PostgreSQL hold one certificate, from one
// order.
func TestACMEReplicas(t *testing.T) {
	freshSchema(t)
	p := startPebble(t)
	r := &replicas{show: &show{dir: t.TempDir()}}
	settings := fmt.Sprintf(`listen = ["imaps://127.0.0.1:0"]
[tls]
acme = true
acme_hosts = ["imap.example.org", "smtp.example.org"]
acme_directory = "https://%s/dir"
acme_ca_file = %q
acme_http = %q
acme_alpn = ""
`, p.directory, p.ca, p.http)
	write := func(path, store string) {
		if err := os.WriteFile(path, []byte(store+"\n"+settings), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(r.configPath(), `store = "file:state"`)
	r.makeSeal(t)
	for i := range 3 {
		config := filepath.Join(r.dir, fmt.Sprintf("config%d.toml", i))
		write(config, fmt.Sprintf("store = \"postgres:env:%s\"\nseal = \"file:seal.key\"\nstate = \"state%d\"", replicasURL, i))
		r.servers = append(r.servers, startServe(t, r.dir, "--config", config))
	}
	roots, serials := p.roots(t), map[string]bool{}
	for _, s := range r.servers {
		if _, err := s.stderr.find(`certificate obtained`); err != nil {
			t.Fatal(err)
		}
		conn, err := tls.Dial("tcp", s.address("imap"), &tls.Config{RootCAs: roots, ServerName: "smtp.example.org"})
		if err != nil {
			t.Fatal(err)
		}
		serials[conn.ConnectionState().PeerCertificates[0].SerialNumber.String()] = true
		conn.Close()
	}
	if orders := strings.Count(p.said.String(), "Added order"); orders != 1 || len(serials) != 1 {
		t.Errorf("%d orders, %d certificates", orders, len(serials))
	}
}

// pebble is a running Pebble.
type pebble struct {
	directory, management, ca, http, alpn string
	said                                  *transcript
}

func startPebble(t *testing.T) *pebble {
	t.Helper()
	dir := t.TempDir()
	if _, err := certs.OpenSelfMade(dir, certs.CurveKey, []string{"127.0.0.1"}, time.Now, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	pem := filepath.Join(dir, certs.CertificateFile)
	p := &pebble{directory: testport.Free(t), management: testport.Free(t), ca: filepath.Join(dir, certs.AuthorityFile),
		http: testport.Free(t), alpn: testport.Free(t)}
	port := func(address string) int {
		a, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		return a.Port
	}
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": p.directory, "managementListenAddress": p.management,
		"certificate": pem, "privateKey": pem, "httpPort": port(p.http), "tlsPort": port(p.alpn),
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	dns := testport.Free(t)
	background(t, nil, "pebble-challtestsrv", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01", dns,
		"-http01", "", "-https01", "", "-tlsalpn01", "", "-management", testport.Free(t))
	// Pebble refuses some nonces on purpose.
	p.said = background(t, []string{"PEBBLE_VA_NOSLEEP=1"}, "pebble", "-config", file, "-strict", "-dnsserver", dns)
	if _, err := p.said.find("ACME directory available"); err != nil {
		t.Fatal(err)
	}
	return p
}

// background runs a program until the test ends.
func background(t *testing.T, env []string, name string, args ...string) *transcript {
	t.Helper()
	said := newTranscript()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", name, said)
		}
	})
	return said
}

// roots returns the authority that signs, which is a new one at each start.
func (p *pebble) roots(t *testing.T) *x509.CertPool {
	t.Helper()
	ca, err := os.ReadFile(p.ca)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, DisableKeepAlives: true}}
	response, err := client.Get("https://" + p.management + "/roots/0")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	root, err := io.ReadAll(response.Body)
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(bytes.TrimSpace(root)) {
		t.Fatalf("%q, %v", root, err)
	}
	return pool
}
