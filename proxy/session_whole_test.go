package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"authferry/internal/protocol"
	"authferry/internal/testtls"
	"authferry/proxy/upstream"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

var everySecurity = map[string]Security{"plain": Plain, "starttls": StartTLS, "tls": Implicit}

// TestWholeSession logs in over every protocol and arrangement of TLS, with
// bytes sent early on both sides.
func TestWholeSession(t *testing.T) {
	for _, protocol := range protocol.All {
		for name, security := range everySecurity {
			for _, startTLS := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/provider starttls %v", protocol, name, startTLS), func(t *testing.T) {
					const early, behind = "x NOOP\r\n", "behind the reply\r\n"
					p := startProvider(t, &fakeProvider{protocol: protocol, startTLS: startTLS, behind: behind,
						after: func(c net.Conn, r *bufio.Reader) { io.Copy(c, r) }})
					m := startWhole(t, p, security).login(early)
					for _, want := range []string{behind, early} {
						if got, err := m.r.ReadString('\n'); got != want {
							t.Fatalf("read %q, %v; want %q", got, err, want)
						}
					}
				})
			}
		}
	}
}

func TestTryLogin(t *testing.T) {
	_, pool := testtls.LoopbackCert()
	for _, protocol := range protocol.All {
		p := startProvider(t, &fakeProvider{protocol: protocol, after: func(c net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) }})
		provider := oauth.Builtin()["gmail"]
		provider.IMAP, provider.POP3, provider.SMTP, provider.RootCAs = p.endpoint(), p.endpoint(), p.endpoint(), pool
		g := &tokens.Grant{Mailbox: wholeUser, User: wholeUser, Provider: provider, AccessToken: wholeToken}
		if err := upstream.TryLogin(t.Context(), g, protocol); err != nil {
			t.Errorf("%s: %v", protocol, err)
		}
	}
}

// TestRelayThroughATLSProxy: there the wire is no socket.
func TestRelayThroughATLSProxy(t *testing.T) {
	p := startProvider(t, &fakeProvider{protocol: "imap", after: echo})
	address := startTLSProxy(t)
	w := startWhole(t, p, Implicit, func(s *Server) {
		provider := oauth.Builtin()["gmail"]
		_, provider.RootCAs = testtls.LoopbackCert()
		provider.IMAP, provider.Proxy = p.endpoint(), &url.URL{Scheme: "https", Host: address}
		s.Vault.Configure(tokens.Settings{Providers: map[string]*oauth.Provider{"gmail": provider}})
	})
	m := w.login("early\r\n")
	io.WriteString(m, strings.Repeat("x", 100_000)+"\r\n")
	b := make([]byte, len("early\r\n")+100_000+2)
	m.SetDeadline(time.Now().Add(patient))
	if _, err := io.ReadFull(m, b); err != nil || !strings.HasPrefix(string(b), "early\r\nxxx") {
		t.Errorf("%.20q, %v", b, err)
	}
	m.Close()
	until(t, func() bool { return w.Metrics.Snapshot().Protocols["imap"].Open == 0 })
}

// startTLSProxy starts an HTTP proxy that is reached over TLS.
func startTLSProxy(t *testing.T) string {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up, err := net.Dial("tcp", r.Host)
		if err != nil {
			t.Error(err)
			return
		}
		defer up.Close()
		c, b, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
		go func() { io.Copy(up, b); up.(*net.TCPConn).CloseWrite() }()
		io.Copy(c, up)
	}))
	s.TLS = testtls.ServerTLS()
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}
