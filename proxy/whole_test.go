package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"authferry/internal/protocol"
	"authferry/internal/testtls"
	"authferry/proxy/gate"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

func TestMain(m *testing.M) {
	if runAsProxy() { // a benchmark's child; see bench_test.go
		return
	}
	goleak.VerifyTestMain(m)
}

const wholeUser, wholeToken = "you@example.org", "ya29.token"

// patient bounds a wait in a test; nothing is meant to take as long.
const patient = 20 * time.Second

// fakeProvider accepts any login with the token and passes the connection to after,
// together with what was read of it beyond the login.
type fakeProvider struct {
	net.Listener
	protocol protocol.Protocol
	startTLS bool
	after    func(c net.Conn, r *bufio.Reader)
	behind   string // sent in one piece with the last reply of the login
	wg       sync.WaitGroup
}

func startProvider(t testing.TB, p *fakeProvider) *fakeProvider {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.Listener = ln
	p.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { defer c.Close(); p.serve(c) })
		}
	})
	t.Cleanup(func() { ln.Close(); p.wg.Wait() })
	return p
}

func (p *fakeProvider) endpoint() oauth.Endpoint {
	return oauth.Endpoint{Host: "127.0.0.1", Port: p.Addr().(*net.TCPAddr).Port, StartTLS: p.startTLS}
}

func (p *fakeProvider) serve(c net.Conn) {
	if !p.startTLS {
		c = tls.Server(c, providerConfig)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	io.WriteString(c, map[protocol.Protocol]string{
		"imap": "* OK [CAPABILITY IMAP4rev1 STARTTLS SASL-IR AUTH=XOAUTH2] ready\r\n", "pop3": "+OK ready\r\n", "smtp": "220 mx ready\r\n",
	}[p.protocol])
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		words := strings.Fields(line)
		verb := words[0]
		if p.protocol == "imap" {
			verb = words[1]
		}
		switch verb {
		case "STARTTLS", "STLS":
			io.WriteString(c, map[protocol.Protocol]string{"imap": words[0] + " OK\r\n", "pop3": "+OK\r\n", "smtp": "220 go\r\n"}[p.protocol])
			c = tls.Server(c, providerConfig)
			r = bufio.NewReader(c)
		case "CAPABILITY":
			io.WriteString(c, "* CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2\r\n"+words[0]+" OK\r\n")
		case "CAPA":
			io.WriteString(c, "+OK\r\nSTLS\r\nSASL XOAUTH2\r\n.\r\n")
		case "EHLO":
			io.WriteString(c, "250-mx\r\n250-STARTTLS\r\n250 AUTH XOAUTH2\r\n")
		case "AUTH", "AUTHENTICATE":
			response, err := base64.StdEncoding.DecodeString(words[len(words)-1])
			if err != nil || !strings.Contains(string(response), "Bearer "+wholeToken+"\x01") {
				return
			}
			io.WriteString(c, map[protocol.Protocol]string{
				"imap": words[0] + " OK [CAPABILITY IMAP4rev1 IDLE] in\r\n", "pop3": "+OK in\r\n", "smtp": "235 2.7.0 in\r\n",
			}[p.protocol]+p.behind)
			p.after(c, r)
			return
		}
	}
}

var providerConfig = testtls.ServerTLS()

// whole is a server in front of a provider, with one mailbox.
type whole struct {
	*Server
	t        testing.TB
	password string
	addr     string
	ln       net.Listener
}

// startWhole starts a server. limits, gate and the rest may be changed by with.
func startWhole(t testing.TB, p *fakeProvider, security Security, with ...func(*Server)) *whole {
	_, pool := testtls.LoopbackCert()
	vault, password := startVault(t, p.endpoint(), pool)
	s := &Server{
		Protocol: p.protocol, Security: security, Hostname: "ferry.example.org", TLS: testtls.ServerTLS(),
		Vault: vault, Gate: new(gate.Gate), Metrics: new(Metrics), Log: zap.NewNop(),
	}
	for _, f := range with {
		f(s)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		s.Shutdown(ctx)
		if err := <-served; !errors.Is(err, ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return &whole{Server: s, t: t, password: password, addr: ln.Addr().String(), ln: ln}
}

func startVault(t testing.TB, e oauth.Endpoint, pool *x509.CertPool) (*tokens.Vault, string) {
	v, password, err := newVault(t.TempDir(), e, pool, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close(context.Background()) })
	return v, password
}

// mail is a mail program's connection that is logged in.
type mail struct {
	net.Conn
	r *bufio.Reader
}

func (m *mail) Read(p []byte) (int, error) { return m.r.Read(p) }

// login connects and logs in. early is sent in one piece with the login.
func (w *whole) login(early string) *mail {
	w.t.Helper()
	c, err := logIn(w.addr, w.Protocol, w.Security, testtls.ClientTLS(), w.password, early)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

func logIn(addr string, protocol protocol.Protocol, security Security, cfg *tls.Config, password, early string) (*mail, error) {
	c, err := net.DialTimeout("tcp", addr, patient)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(patient))
	if security == Implicit {
		c = tls.Client(c, cfg)
	}
	m := &mail{c, bufio.NewReader(c)}
	if err := m.converse(protocol, security, cfg, password, early); err != nil {
		c.Close()
		return nil, err
	}
	m.SetDeadline(time.Time{})
	return m, nil
}

func (m *mail) converse(p protocol.Protocol, security Security, cfg *tls.Config, password, early string) error {
	script := map[protocol.Protocol][][2]string{ // what is awaited, what is said then
		"imap": {{"* OK", "s STARTTLS"}, {"s OK", ""}, {"", imapLogin(password)}, {"a OK", ""}},
		"pop3": {{"+OK", "STLS"}, {"+OK", ""}, {"", "USER " + wholeUser}, {"+OK", "PASS " + password}, {"+OK", ""}},
		"smtp": {{"220 ", "EHLO me"}, {"250 ", "STARTTLS"}, {"220 ", ""}, {"", "AUTH PLAIN " + b64("\x00"+wholeUser+"\x00"+password)}, {"235 ", ""}},
	}[p]
	for i, step := range script {
		if strings.HasSuffix(step[1], "TLS") || step[1] == "STLS" {
			if err := m.await(step[0]); err != nil {
				return err
			}
			if security == StartTLS {
				if err := m.startTLS(step[1], script[i+1][0], cfg); err != nil {
					return err
				}
			}
			script[i+1][0] = ""
			continue
		}
		if step[0] != "" {
			if err := m.await(step[0]); err != nil {
				return err
			}
		}
		if step[1] == "" {
			continue
		}
		line := step[1] + "\r\n"
		if i == len(script)-2 {
			line += early
		}
		if _, err := io.WriteString(m, line); err != nil {
			return err
		}
	}
	return nil
}

func (m *mail) startTLS(command, answer string, cfg *tls.Config) error {
	if _, err := io.WriteString(m, command+"\r\n"); err != nil {
		return err
	}
	if err := m.await(answer); err != nil {
		return err
	}
	m.Conn = tls.Client(m.Conn, cfg)
	m.r = bufio.NewReader(m.Conn)
	return nil
}

// imapLogin is a login at authferry or, without a password, at the provider.
func imapLogin(password string) string {
	if password == "" {
		return "a AUTHENTICATE XOAUTH2 " + b64("user="+wholeUser+"\x01auth=Bearer "+wholeToken+"\x01\x01")
	}
	return "a LOGIN " + wholeUser + " " + password
}

// await reads lines up to one that starts as given.
func (m *mail) await(start string) error {
	for {
		line, err := m.r.ReadString('\n')
		if err != nil {
			return err
		}
		if strings.HasPrefix(line, start) {
			return nil
		}
		if strings.Contains(line, "NO [") || strings.HasPrefix(line, "-ERR") || strings.HasPrefix(line, "* BYE") {
			return errors.New("instead of " + strconv.Quote(start) + ": " + line)
		}
	}
}
