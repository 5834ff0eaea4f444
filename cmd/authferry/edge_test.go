//go:build edge

package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"authferry/internal/testport"
)

// edge is `authferry serve` with the listeners of a configuration, without a provider.
func edge(t *testing.T, config string) (*process, string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(file, []byte("store = \"file:state\"\n"+config), 0o600); err != nil {
		t.Fatal(err)
	}
	return startServe(t, dir, "--config", file), dir
}

// TestEdgeHAProxy: HAProxy connects programs with both versions of the PROXY header,
// and its own health checks succeed.
func TestEdgeHAProxy(t *testing.T) {
	for _, version := range []string{"send-proxy", "send-proxy-v2"} {
		t.Run(version, func(t *testing.T) {
			s, dir := edge(t, `[[listener]]
url = "imap://127.0.0.1:0"
proxy_protocol = ["127.0.0.1"]
[log]
level = "debug"
`)
			front := testport.Free(t)
			config := filepath.Join(dir, "haproxy.cfg")
			if err := os.WriteFile(config, []byte(fmt.Sprintf(`defaults
	mode tcp
	timeout connect 5s
	timeout client 30s
	timeout server 30s
frontend programs
	bind %s
	default_backend authferry
backend authferry
	option tcp-check
	tcp-check expect rstring ^\*\ OK
	server one %s %s check check-send-proxy inter 200ms
`, front, s.address("imap"), version)), 0o600); err != nil {
				t.Fatal(err)
			}
			said := newTranscript()
			haproxy := exec.Command("haproxy", "-db", "-f", config)
			haproxy.Stdout, haproxy.Stderr = said, said
			if err := haproxy.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { haproxy.Process.Kill(); haproxy.Wait() })
			conn := dialPatiently(t, front)
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(patience))
			greeting, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil || !strings.HasPrefix(greeting, "* OK ") {
				t.Fatalf("greeted with %q, %v\n%s\n%s", greeting, err, said, s.stderr)
			}
			// The client is this test, not HAProxy.
			if _, err := s.stderr.find(`"said".*"client":"` + conn.LocalAddr().String() + `".*\* OK`); err != nil {
				t.Error(err)
			}
			conn.Close()
			// Its health checks still succeed.
			before := strings.Count(s.stderr.String(), `* OK`)
			if _, err := s.stderr.find(fmt.Sprintf(`(?s:(\* OK.*){%d})`, before+2)); err != nil {
				t.Error(err)
			}
			if strings.Contains(s.stderr.String(), "no valid PROXY header") || strings.Contains(said.String(), "DOWN") {
				t.Errorf("%s\n%s", said, s.stderr)
			}
		})
	}
}

// dialPatiently connects as soon as the address accepts connections.
func dialPatiently(t *testing.T, address string) net.Conn {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); ; {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatal(err)
		}
	}
}

// TestEdgeOldTLS: OpenSSL connects with only the versions and ciphers of old programs.
func TestEdgeOldTLS(t *testing.T) {
	s, dir := edge(t, `[[listener]]
url = "imaps://127.0.0.1:0"
min_tls = "1.0"
[[listener]]
url = "smtp+either://127.0.0.1:0"
min_tls = "1.0"
[[listener]]
url = "pop3s://127.0.0.1:0"
`)
	for _, tt := range []struct {
		name, protocol, want string
		args                 []string
	}{
		{"TLS 1.0", "imap", "* OK ", []string{"-tls1", "-cipher", "AES128-SHA:@SECLEVEL=0", "-CAfile", "ca-rsa.pem"}},
		{"TLS 1.1 with curves", "imap", "* OK ", []string{"-tls1_1", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0", "-CAfile", "ca.pem"}},
		{"TLS 1.2, key exchange by RSA", "imap", "* OK ", []string{"-tls1_2", "-cipher", "AES256-SHA", "-CAfile", "ca-rsa.pem"}},
		{"TLS 1.3", "imap", "* OK ", []string{"-tls1_3", "-CAfile", "ca.pem"}},
		{"STARTTLS with TLS 1.0", "smtp", "250 ", []string{"-starttls", "smtp", "-tls1", "-cipher", "AES128-SHA:@SECLEVEL=0", "-CAfile", "ca-rsa.pem"}},
		{"the same port without STARTTLS", "smtp", "220 ", []string{"-tls1", "-cipher", "AES128-SHA:@SECLEVEL=0", "-CAfile", "ca-rsa.pem"}},
		{"TLS 1.1 where it may not", "pop3", "alert protocol version", []string{"-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-CAfile", "ca.pem"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"s_client", "-quiet", "-verify_return_error", "-verify_ip", "127.0.0.1", "-connect", s.address(tt.protocol)}, tt.args...)
			client := exec.Command("openssl", args...)
			client.Dir = filepath.Join(dir, "state")
			said := newTranscript()
			client.Stdout, client.Stderr = said, said
			stdin, err := client.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := client.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := said.find(regexp.QuoteMeta(tt.want)); err != nil {
				t.Error(err)
			}
			stdin.Close()
			client.Process.Kill()
			client.Wait()
		})
	}
}
