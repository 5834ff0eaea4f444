package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
)

// The authority checks the names by connecting to port 80 (HTTP-01, RFC 8555
// §8.3) or port 443 (TLS-ALPN-01, RFC 8737) of each. Both are open only while
// an order runs, and answer nothing else.

// challengeTime bounds one connection to a challenge.
const challengeTime = 10 * time.Second

type challenges struct {
	types     []string // that can be answered
	listeners []net.Listener
	ctx       context.Context
	cancel    context.CancelFunc
	serving   sync.WaitGroup

	mu    sync.Mutex
	files map[string]string           // by path
	certs map[string]*tls.Certificate // by name
}

// openChallenges opens the listeners for challenges. One of the two is enough.
func (a *acmeCertificates) openChallenges() (*challenges, error) {
	c := &challenges{files: map[string]string{}, certs: map[string]*tls.Certificate{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	var errs []error
	for _, way := range []struct {
		kind, key, address string
		serve              func(net.Listener)
	}{{"http-01", "acme_http", a.HTTP, c.serveHTTP}, {"tls-alpn-01", "acme_alpn", a.ALPN, c.serveTLS}} {
		if way.address == "" {
			continue
		}
		ln, err := net.Listen("tcp", way.address)
		if err != nil {
			errs = append(errs, fmt.Errorf("[tls] %s: %w", way.key, err))
			continue
		}
		c.types = append(c.types, way.kind)
		c.listeners = append(c.listeners, ln)
		c.serving.Go(func() { way.serve(ln) })
	}
	if len(c.types) > 0 {
		return c, nil
	}
	c.cancel()
	return nil, fmt.Errorf("opening a port for the authority to see: %w; ports under 1024 need privileges (under systemd, "+
		"AmbientCapabilities= and CapabilityBoundingSet=CAP_NET_BIND_SERVICE with PrivateUsers=no), and one that a web server has may be forwarded from there", errors.Join(errs...))
}

func (c *challenges) close() {
	c.cancel()
	for _, ln := range c.listeners {
		ln.Close()
	}
	c.serving.Wait()
}

func (c *challenges) serveHTTP(ln net.Listener) {
	server := &http.Server{
		Handler: http.HandlerFunc(c.file), ReadTimeout: challengeTime, WriteTimeout: challengeTime,
		ErrorLog: log.New(io.Discard, "", 0), // port scans would fill the log
	}
	stop := context.AfterFunc(c.ctx, func() { server.Close() })
	defer stop()
	server.Serve(ln)
}

// file answers HTTP-01.
func (c *challenges) file(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	content, ok := c.files[r.URL.Path]
	c.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	io.WriteString(w, content)
}

// serveTLS answers TLS-ALPN-01, for which the handshake is enough.
func (c *challenges) serveTLS(ln net.Listener) {
	config := &tls.Config{
		NextProtos: []string{acme.ALPNProto},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if cert := c.certs[hello.ServerName]; cert != nil && slices.Equal(hello.SupportedProtos, []string{acme.ALPNProto}) {
				return cert, nil
			}
			return nil, errors.New("not a challenge")
		},
	}
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		c.serving.Go(func() {
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(challengeTime))
			tls.Server(conn, config).HandshakeContext(c.ctx)
		})
	}
}

// prove answers one authorization of an order.
func (a *acmeCertificates) prove(ctx context.Context, client *acme.Client, c *challenges, url string) error {
	z, err := client.GetAuthorization(ctx, url)
	if err != nil {
		return fmt.Errorf("asking what to prove: %w", acmeError(err))
	}
	if z.Status == acme.StatusValid {
		return nil
	}
	host := z.Identifier.Value
	challenge := c.choose(z.Challenges, a.failures)
	if challenge == nil {
		return fmt.Errorf("the authority wants %s proved in none of the ways that acme_http and acme_alpn leave", host)
	}
	if err := c.prepare(client, challenge, host); err != nil {
		return err
	}
	_, err = client.Accept(ctx, challenge)
	if err == nil {
		_, err = client.WaitAuthorization(ctx, z.URI)
	}
	if err != nil {
		port := map[string]string{"http-01": "80 and from there to acme_http", "tls-alpn-01": "443 and from there to acme_alpn"}[challenge.Type]
		return fmt.Errorf("proving by %s that %s is this machine: it must be reachable under that name on port %s: %w", challenge.Type, host, port, acmeError(err))
	}
	return nil
}

// choose picks a challenge. After a failure it picks the other type.
func (c *challenges) choose(offered []*acme.Challenge, failures int) *acme.Challenge {
	for i := range c.types {
		wanted := c.types[(failures+i)%len(c.types)]
		if n := slices.IndexFunc(offered, func(o *acme.Challenge) bool { return o.Type == wanted }); n >= 0 {
			return offered[n]
		}
	}
	return nil
}

// prepare stores the answer to a challenge.
func (c *challenges) prepare(client *acme.Client, challenge *acme.Challenge, host string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if challenge.Type == "http-01" {
		content, err := client.HTTP01ChallengeResponse(challenge.Token)
		c.files[client.HTTP01ChallengePath(challenge.Token)] = content
		return err
	}
	cert, err := client.TLSALPN01ChallengeCert(challenge.Token, host)
	c.certs[host] = &cert
	return err
}
