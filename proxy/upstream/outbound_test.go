package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"authferry/internal/testport"
	"authferry/internal/testtls"
	"authferry/tokens/oauth"
)

// fakeOutbound is a proxy towards providers, of either kind, that wants the user
// "u" with the password "p&w" if it wants any.
type fakeOutbound struct {
	t      *testing.T
	login  bool
	behind string // sent in one piece with the answer, before the provider speaks
	asked  chan string
	wg     sync.WaitGroup
}

func (f *fakeOutbound) start(tlsToo bool) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	if tlsToo {
		ln = tls.NewListener(ln, testtls.ServerTLS())
	}
	f.asked = make(chan string, 10)
	f.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			f.wg.Go(func() { defer c.Close(); f.serve(c) })
		}
	})
	f.t.Cleanup(func() { ln.Close(); f.wg.Wait() })
	return ln.Addr().String()
}

func (f *fakeOutbound) serve(c net.Conn) {
	r := bufio.NewReader(c)
	first, err := r.Peek(1)
	if err != nil {
		return
	}
	target := ""
	if first[0] == 5 {
		target = f.socks(c, r)
	} else {
		target = f.http(c, r)
	}
	if target == "" {
		return
	}
	f.asked <- target
	if host, port, _ := net.SplitHostPort(target); host == "localhost" {
		target = "127.0.0.1:" + port
	}
	up, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer up.Close()
	f.wg.Go(func() { io.Copy(up, r); up.(*net.TCPConn).CloseWrite() })
	io.Copy(c, up)
}

func (f *fakeOutbound) http(c net.Conn, r *bufio.Reader) string {
	request, err := http.ReadRequest(r)
	if err != nil || request.Method != http.MethodConnect {
		return ""
	}
	request.Header.Set("Authorization", request.Header.Get("Proxy-Authorization"))
	if user, password, _ := request.BasicAuth(); f.login && (user != "u" || password != "p&w") {
		io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
		return ""
	}
	if strings.HasPrefix(request.Host, "forbidden") {
		io.WriteString(c, "HTTP/1.1 403 Forbidden by the policy\r\nContent-Length: 4\r\n\r\nsrry")
		return ""
	}
	io.WriteString(c, "HTTP/1.1 200 Connection established\r\nVia: fake\r\n\r\n"+f.behind)
	return request.Host
}

func (f *fakeOutbound) socks(c net.Conn, r *bufio.Reader) string {
	head := make([]byte, 2)
	io.ReadFull(r, head)
	methods := make([]byte, head[1])
	io.ReadFull(r, methods)
	if !f.login {
		c.Write([]byte{5, 0})
	} else if !strings.Contains(string(methods), "\x02") {
		c.Write([]byte{5, 0xff})
		return ""
	} else {
		c.Write([]byte{5, 2})
		b := make([]byte, len("\x01\x01u\x03p&w"))
		io.ReadFull(r, b)
		if string(b) != "\x01\x01u\x03p&w" {
			c.Write([]byte{1, 1})
			return ""
		}
		c.Write([]byte{1, 0})
	}
	ask := make([]byte, 4)
	io.ReadFull(r, ask)
	host := ""
	switch ask[3] {
	case 3:
		n, _ := r.ReadByte()
		b := make([]byte, n)
		io.ReadFull(r, b)
		host = string(b)
	default:
		b := make([]byte, map[byte]int{1: 4, 4: 16}[ask[3]])
		io.ReadFull(r, b)
		a, _ := netip.AddrFromSlice(b)
		host = a.String()
	}
	port := make([]byte, 2)
	io.ReadFull(r, port)
	if host == "forbidden.example.org" {
		c.Write([]byte{5, 2, 0, 1, 0, 0, 0, 0, 0, 0})
		return ""
	}
	c.Write(append([]byte{5, 0, 0, 3, 4, 'h', 'e', 'r', 'e', 0, 0}, f.behind...))
	return net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(port))))
}

// TestDialThroughAProxy: a TLS conversation with the provider, by each kind of
// proxy, with and without a password.
func TestDialThroughAProxy(t *testing.T) {
	_, pool := testtls.LoopbackCert()
	e := listenWith(t, handshake(testtls.ServerTLS()))
	for _, scheme := range []string{"http", "https", "socks5"} {
		for _, login := range []bool{false, true} {
			for _, host := range []string{"127.0.0.1", "localhost"} {
				f := &fakeOutbound{t: t, login: login}
				u := &url.URL{Scheme: scheme, Host: f.start(scheme == "https")}
				if login {
					u.User = url.UserPassword("u", "p&w")
				}
				ctx, cancel := context.WithTimeout(t.Context(), patient)
				c, err := dial(ctx, &oauth.Provider{RootCAs: pool, Proxy: u}, oauth.Endpoint{Host: host, Port: e.Port})
				if err != nil {
					t.Fatalf("%s, %v, %s: %v", scheme, login, host, err)
				}
				if line, err := c.ReadLine(100); line != "hello" || err != nil {
					t.Errorf("%s, %v, %s: read %q, %v", scheme, login, host, line, err)
				}
				c.Close()
				cancel()
				if asked := <-f.asked; asked != net.JoinHostPort(host, strconv.Itoa(e.Port)) {
					t.Errorf("%s: asked for %s", scheme, asked)
				}
			}
		}
	}
}

// TestProxyAnswerLosesNothing: a provider with STARTTLS speaks first, and may do
// so in one piece with the proxy's answer.
func TestProxyAnswerLosesNothing(t *testing.T) {
	e := listenWith(t, func(c net.Conn) { io.WriteString(c, "second\r\n"); io.Copy(io.Discard, c) })
	e.StartTLS = true
	for _, scheme := range []string{"http", "socks5"} {
		f := &fakeOutbound{t: t, behind: "first\r\n"}
		ctx, cancel := context.WithTimeout(t.Context(), patient)
		c, err := dial(ctx, &oauth.Provider{Proxy: &url.URL{Scheme: scheme, Host: f.start(false)}}, e)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := c.Wire.Conn.(*net.TCPConn); !ok {
			t.Errorf("%s: the relay gets a %T, not a socket", scheme, c.Wire.Conn)
		}
		for _, want := range []string{"first", "second"} {
			if line, err := c.ReadLine(100); line != want || err != nil {
				t.Errorf("%s: read %q, %v", scheme, line, err)
			}
		}
		c.Close()
		cancel()
	}
}

func TestDialThroughAProxySaysWhatFailed(t *testing.T) {
	f := &fakeOutbound{t: t, login: true}
	open, secured := f.start(false), (&fakeOutbound{t: t}).start(true)
	says := func(words string) string {
		e := listenWith(t, func(c net.Conn) {
			io.WriteString(c, words)
			c.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, c)
		})
		return net.JoinHostPort(e.Host, strconv.Itoa(e.Port))
	}
	nobody := testport.Refused(t)
	silent := listenWith(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	stuck := net.JoinHostPort(silent.Host, strconv.Itoa(silent.Port))
	for _, tt := range []struct{ proxy, host, want string }{
		{"http://" + nobody, "imap.example.org", "connecting to the proxy " + nobody},
		{"http://u:hunter2@" + open, "imap.example.org", "requires a user name and a password"},
		{"http://u:p&w@" + open, "forbidden.example.org", `has to allow CONNECT to this host and port: "403 Forbidden by the policy"`},
		{"http://" + says("* OK hunter2\r\n"), "imap.example.org", "not an HTTP proxy"},
		{"http://" + says(""), "imap.example.org", "closed the connection"},
		{"https://" + open, "imap.example.org", "TLS handshake with the proxy " + open},
		{"https://" + secured, "imap.example.org", "name a private authority in ca_file"},
		{"socks5://" + open, "imap.example.org", "write them into its address"},
		{"socks5://u:hunter2@" + open, "imap.example.org", "the proxy refuses the user name or the password"},
		{"socks5://u:p&w@" + open, "forbidden.example.org", "has to allow connections to this host and port: unknown error connection not allowed by ruleset"},
		{"socks5://" + says("HTTP/1.1 400 Bad\r\n"), "imap.example.org", "not a SOCKS 5 proxy"},
		{"socks5://" + says("\x05\x00"), "imap.example.org", "closed the connection"},
		{"socks5://" + says("\x05\x00\x05\x00\x00\x07"), "imap.example.org", "unknown address type 7"},
		{"http://" + stuck, "imap.example.org", "did not answer in time"},
		{"socks5://" + stuck, "imap.example.org", "did not answer in time"},
		{"ftp://" + open, "imap.example.org", "http, https and socks5 are known"},
	} {
		u, err := url.Parse(tt.proxy)
		if err != nil {
			t.Fatal(err)
		}
		limit := patient
		if strings.Contains(tt.proxy, stuck) {
			limit = 300 * time.Millisecond // enough to connect on a busy machine
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		_, err = dial(ctx, &oauth.Provider{Proxy: u}, oauth.Endpoint{Host: tt.host, Port: 993})
		cancel()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v\nwant %q", tt.proxy, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: a secret in %v", tt.proxy, err)
		}
		if isRefusal(err) {
			t.Errorf("%s: counts as a refusal: %v", tt.proxy, err)
		}
	}
}
