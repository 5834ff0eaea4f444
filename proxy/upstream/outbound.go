package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/proxy"

	"authferry/proxy/relay"
	"authferry/tokens/oauth"
)

// Connecting to a provider through an HTTP proxy (CONNECT, RFC 9110 §9.3.6) or a
// SOCKS 5 proxy (RFC 1928, RFC 1929). TLS with the provider runs inside the tunnel,
// so the proxy learns host and port and nothing else; it also looks up the host,
// since networks with such proxies often have no DNS for the rest of the world.

// outboundPorts are the ports of proxies whose URL names none.
var outboundPorts = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}

// maxProxyAnswer bounds the answer of an HTTP proxy to CONNECT.
const maxProxyAnswer = 16 << 10

// proxyAddress returns host and port of a proxy, without the password in its URL.
func proxyAddress(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = outboundPorts[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// dialThrough connects to an endpoint through the provider's proxy. Its errors say
// which of the two hops failed.
func dialThrough(ctx context.Context, p *oauth.Provider, e oauth.Endpoint) (_ *relay.Wire, err error) {
	address, target := proxyAddress(p.Proxy), net.JoinHostPort(e.Host, strconv.Itoa(e.Port))
	if outboundPorts[p.Proxy.Scheme] == "" {
		return nil, fmt.Errorf("the proxy %s has the unknown scheme %q: http, https and socks5 are known", address, p.Proxy.Scheme)
	}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connecting to the proxy %s of the provider: %w", address, err)
	}
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	// Neither hop watches ctx: a deadline in the past ends them.
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() && err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			conn.Close()
		}
	}()
	if p.Proxy.Scheme == "https" {
		t := tls.Client(conn, &tls.Config{ServerName: p.Proxy.Hostname(), RootCAs: p.RootCAs, MinVersion: tls.VersionTLS12})
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("TLS handshake with the proxy %s of the provider; name a private authority in ca_file of the provider: %w", address, err)
		}
		conn = t
	}
	w := relay.NewWire(conn)
	if strings.HasPrefix(p.Proxy.Scheme, "socks") {
		err = connectSOCKS(conn, p.Proxy.User, target)
	} else {
		err = connectHTTP(w, p.Proxy.User, target)
	}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("the proxy closed the connection without an answer")
	case err != nil && isTimeout(err):
		err = fmt.Errorf("the proxy did not answer in time: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to %s through the proxy %s: %w", target, address, err)
	}
	return w, nil
}

// connectHTTP asks an HTTP proxy for a tunnel. Bytes after its answer are the
// provider's.
func connectHTTP(w *relay.Wire, user *url.Userinfo, target string) error {
	request := "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\nUser-Agent: authferry\r\n"
	if user != nil {
		password, _ := user.Password()
		request += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)) + "\r\n"
	}
	if _, err := io.WriteString(w, request+"\r\n"); err != nil {
		return err
	}
	r := bufio.NewReader(io.LimitReader(w, maxProxyAnswer))
	answer, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), err != nil && isTimeout(err):
		return err
	case err != nil: // which would repeat what it said
		return errors.New("this is not an HTTP proxy; is it a socks5:// one?")
	}
	answer.Body.Close() // empty, and not to be drained: a tunnel has no body
	switch {
	case answer.StatusCode == http.StatusProxyAuthRequired:
		return fmt.Errorf("the proxy requires a user name and a password, or refuses these: write them into its address, http://USER:PASSWORD@HOST: %q", Quotable(answer.Status))
	case answer.StatusCode/100 != 2:
		return fmt.Errorf("the proxy refuses: it has to allow CONNECT to this host and port: %q", Quotable(answer.Status))
	}
	rest, _ := r.Peek(r.Buffered())
	w.Unread(rest)
	return nil
}

// socksHints say what to do about errors of golang.org/x/net/proxy, which have no
// types.
var socksHints = []struct{ contains, hint string }{
	{"unexpected protocol version", "this is not a SOCKS 5 proxy; is it an http:// one?"},
	{"no acceptable authentication methods", "the proxy requires a user name and a password: write them into its address, socks5://USER:PASSWORD@HOST"},
	{"authentication failed", "the proxy refuses the user name or the password in its address"},
	{"not allowed by ruleset", "the proxy refuses: it has to allow connections to this host and port"},
}

// connectSOCKS asks a SOCKS proxy for a tunnel, on a connection to it. The library
// reads not a byte beyond the proxy's answer.
func connectSOCKS(conn net.Conn, user *url.Userinfo, target string) error {
	var auth *proxy.Auth
	if user != nil {
		password, _ := user.Password()
		auth = &proxy.Auth{User: user.Username(), Password: password}
	}
	d, err := proxy.SOCKS5("tcp", "", auth, connected{conn})
	if err == nil {
		_, err = d.Dial("tcp", target)
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) && strings.HasPrefix(op.Op, "socks") {
		err = op.Err // without the addresses, which dialThrough names
	}
	for _, h := range socksHints {
		if err != nil && strings.Contains(err.Error(), h.contains) {
			return fmt.Errorf("%s: %w", h.hint, err)
		}
	}
	return err
}

// connected is a dialer for a connection that exists already.
type connected struct{ net.Conn }

func (c connected) Dial(string, string) (net.Conn, error) { return c.Conn, nil }
func (c connected) DialContext(context.Context, string, string) (net.Conn, error) {
	return c.Conn, nil
}
