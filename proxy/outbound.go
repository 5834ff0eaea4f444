package proxy

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
	"time"

	"authferry/proxy/relay"
	"authferry/tokens/oauth"
)

// Reaching a provider through an HTTP proxy (CONNECT, RFC 9110 §9.3.6) or a
// SOCKS proxy (RFC 1928, RFC 1929). TLS with the provider runs inside of what
// the proxy carries, so it learns host and port and nothing else; it is also
// what looks up the host, since networks with such proxies often have no DNS
// for the rest of the world.

// outboundPorts are the ports of proxies whose address names none.
var outboundPorts = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}

// maxProxyAnswer bounds what an HTTP proxy may say before it carries bytes.
const maxProxyAnswer = 16 << 10

// proxyAddress is where a proxy is, without the password in its URL.
func proxyAddress(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = outboundPorts[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// dialThrough connects to an endpoint by way of the provider's proxy. Its errors
// say which of the two hops failed.
func dialThrough(ctx context.Context, p *oauth.Provider, e oauth.Endpoint) (_ *relay.Wire, err error) {
	address := proxyAddress(p.Proxy)
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connecting to the proxy %s of the provider: %w", address, err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	// Neither hop knows of ctx: a deadline in the past ends them.
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() && err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			conn.Close()
		}
	}()
	target := net.JoinHostPort(e.Host, strconv.Itoa(e.Port))
	switch p.Proxy.Scheme {
	case "https":
		t := tls.Client(conn, &tls.Config{ServerName: p.Proxy.Hostname(), RootCAs: p.RootCAs, MinVersion: tls.VersionTLS12})
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("TLS handshake with the proxy %s of the provider; a private authority belongs into its ca_file: %w", address, err)
		}
		conn = t
		fallthrough
	case "http":
		w := relay.NewWire(conn)
		if err := askHTTPProxy(w, p.Proxy.User, target); err != nil {
			return nil, fmt.Errorf("reaching %s by the proxy %s: %w", target, address, err)
		}
		return w, nil
	case "socks5", "socks5h":
		if err := askSOCKS(conn, p.Proxy.User, e); err != nil {
			return nil, fmt.Errorf("reaching %s by the proxy %s: %w", target, address, err)
		}
		return relay.NewWire(conn), nil
	}
	return nil, fmt.Errorf("the proxy %s is of an unknown kind %q: http, https and socks5 are known", address, p.Proxy.Scheme)
}

// askHTTPProxy asks for a tunnel. What comes behind the answer is the provider's.
func askHTTPProxy(w *relay.Wire, user *url.Userinfo, target string) error {
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
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the proxy closed the connection instead of an answer")
	case isTimeout(err):
		return fmt.Errorf("the proxy did not answer in time: %w", err)
	case err != nil:
		return errors.New("what answers there is no HTTP proxy; is it a socks5:// one?") // err would repeat what it said
	}
	answer.Body.Close() // empty, and not to be drained: a tunnel has no body
	switch {
	case answer.StatusCode == http.StatusProxyAuthRequired:
		return fmt.Errorf("the proxy wants a user name and a password, or others: write them into its address, http://USER:PASSWORD@HOST: %q", quotable(answer.Status))
	case answer.StatusCode/100 != 2:
		return fmt.Errorf("the proxy refuses: it has to allow CONNECT to this host and port: %q", quotable(answer.Status))
	}
	rest, _ := r.Peek(r.Buffered())
	w.Unread(rest)
	return nil
}

// socksReplies are those of RFC 1928 §6.
var socksReplies = map[byte]string{
	1: "general failure", 2: "its rules do not allow it", 3: "network unreachable", 4: "host unreachable, or not known to its DNS",
	5: "connection refused", 6: "TTL expired", 7: "it knows no CONNECT", 8: "it knows no such address",
}

// askSOCKS asks for a connection to an endpoint.
func askSOCKS(c net.Conn, user *url.Userinfo, e oauth.Endpoint) error {
	const none, byPassword = 0, 2
	methods := []byte{5, 1, none}
	if user != nil {
		methods = []byte{5, 2, none, byPassword}
	}
	answer, err := socksSay(c, methods, 2)
	if err != nil {
		return err
	}
	switch {
	case answer[0] != 5:
		return errors.New("what answers there is no SOCKS 5 proxy; is it an http:// one?")
	case answer[1] == byPassword && user != nil:
		if err := socksLogin(c, user); err != nil {
			return err
		}
	case answer[1] != none:
		return errors.New("the proxy wants a user name and a password: write them into its address, socks5://USER:PASSWORD@HOST")
	}
	return socksConnect(c, e)
}

// socksSay sends a message and reads the n bytes that begin its answer.
func socksSay(c net.Conn, message []byte, n int) ([]byte, error) {
	if _, err := c.Write(message); err != nil {
		return nil, err
	}
	return socksHear(c, n)
}

func socksHear(c net.Conn, n int) ([]byte, error) {
	answer := make([]byte, n)
	_, err := io.ReadFull(c, answer)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errors.New("the proxy closed the connection instead of an answer")
	case isTimeout(err):
		return nil, fmt.Errorf("the proxy did not answer in time: %w", err)
	}
	return answer, err
}

func socksLogin(c net.Conn, user *url.Userinfo) error {
	name := user.Username()
	password, _ := user.Password()
	if len(name) > 255 || len(password) > 255 {
		return errors.New("user name and password for a SOCKS proxy have 255 bytes at most")
	}
	message := append([]byte{1, byte(len(name))}, name...)
	message = append(append(message, byte(len(password))), password...)
	answer, err := socksSay(c, message, 2)
	if err != nil {
		return err
	}
	if answer[1] != 0 {
		return errors.New("the proxy refuses the user name or the password in its address")
	}
	return nil
}

func socksConnect(c net.Conn, e oauth.Endpoint) error {
	message := []byte{5, 1, 0}
	if ip := net.ParseIP(e.Host); ip.To4() != nil {
		message = append(append(message, 1), ip.To4()...)
	} else if ip != nil {
		message = append(append(message, 4), ip...)
	} else {
		if len(e.Host) > 255 {
			return errors.New("the name of the host is too long for SOCKS")
		}
		message = append(append(message, 3, byte(len(e.Host))), e.Host...)
	}
	answer, err := socksSay(c, append(message, byte(e.Port>>8), byte(e.Port)), 4)
	if err != nil {
		return err
	}
	if answer[0] != 5 || answer[1] != 0 {
		return fmt.Errorf("the proxy could not connect: %s (%d)", socksReplies[answer[1]], answer[1])
	}
	// The address it connects from, which nobody needs, and its port.
	size := map[byte]int{1: 4, 4: 16}[answer[3]]
	if answer[3] == 3 {
		length, err := socksHear(c, 1)
		if err != nil {
			return err
		}
		size = int(length[0])
	} else if size == 0 {
		return fmt.Errorf("the proxy answers with an address of kind %d, which there is not", answer[3])
	}
	_, err = socksHear(c, size+2)
	return err
}
