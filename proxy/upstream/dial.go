package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	// The roots of an image that has none, such as one made FROM scratch.
	_ "golang.org/x/crypto/x509roots/fallback"

	"authferry/internal/tlserror"
	"authferry/proxy/relay"
	"authferry/tokens/oauth"
)

// KeepAlive detects within three minutes that a peer has vanished. No session has
// a time limit after login: IDLE may be silent for half an hour.
var KeepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 20 * time.Second, Count: 6}

// dialer tries all addresses of a provider, IPv6 and IPv4 side by side (RFC 8305).
var dialer = net.Dialer{KeepAliveConfig: KeepAlive}

// Dial connects to a provider as a session does, through its proxy if it has one,
// and leaves TLS to the caller.
func Dial(ctx context.Context, p *oauth.Provider, e oauth.Endpoint) (net.Conn, error) {
	w, err := dialWire(ctx, p, e)
	if err != nil {
		return nil, err // a nil *relay.Wire is not a nil net.Conn
	}
	return w, nil
}

// dial connects to a provider: TCP, and TLS if the endpoint starts with it. The
// deadline of ctx holds for everything read and written until the relay begins.
func dial(ctx context.Context, p *oauth.Provider, e oauth.Endpoint) (*relay.Conn, error) {
	w, err := dialWire(ctx, p, e)
	if err != nil {
		return nil, err
	}
	c := relay.NewConn(w)
	if e.StartTLS {
		return c, nil
	}
	if err := c.StartTLSClient(tlsConfig(p, e)); err != nil {
		c.Close()
		return nil, tlsError(e, err)
	}
	return c, nil
}

// dialWire makes the connection below TLS, through the provider's proxy if it has
// one.
func dialWire(ctx context.Context, p *oauth.Provider, e oauth.Endpoint) (*relay.Wire, error) {
	if p.Proxy != nil {
		return dialThrough(ctx, p, e)
	}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(e.Host, strconv.Itoa(e.Port)))
	if err != nil {
		return nil, dialError(e, err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	return relay.NewWire(conn), nil
}

// dialError says which part of connecting failed.
func dialError(e oauth.Endpoint, err error) error {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Errorf("no address for %s: check the host name in the configuration, and DNS: %w", e.Host, err)
	case errors.As(err, &dns):
		return fmt.Errorf("looking up %s: is DNS working on this machine? %w", e.Host, err)
	case isTimeout(err):
		return fmt.Errorf("connecting to %s port %d: no answer in time; does a firewall block it? %w", e.Host, e.Port, err)
	}
	return fmt.Errorf("connecting to %s port %d: %w", e.Host, e.Port, err)
}

// tlsError explains why TLS with a provider failed, and how to fix it.
func tlsError(e oauth.Endpoint, err error) error {
	address := fmt.Sprintf("%s port %d", e.Host, e.Port)
	if what, fix, ok := tlserror.Explain(err, tlserror.Server{Host: e.Host, Address: address, Table: "the provider's table"}); ok {
		return fmt.Errorf("%s; %s: %w", what, fix, err)
	}
	if isTimeout(err) {
		return fmt.Errorf("TLS handshake with %s: no answer in time: %w", address, err)
	}
	return fmt.Errorf("TLS handshake with %s: %w", address, err)
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &e) && e.Timeout()
}

// tlsConfigs holds a TLS configuration for each endpoint in use, and with it the
// TLS sessions that can be resumed there.
var tlsConfigs sync.Map // of oauth.Endpoint to *verifiedBy

type verifiedBy struct {
	roots  *x509.CertPool
	config *tls.Config
}

// tlsConfig returns the TLS configuration for an endpoint. Resuming a session does
// not verify the chain again, so a configuration made for one set of roots is
// dropped when another set is to verify the endpoint.
func tlsConfig(p *oauth.Provider, e oauth.Endpoint) *tls.Config {
	if have, ok := tlsConfigs.Load(e); ok {
		if v := have.(*verifiedBy); v.roots == p.RootCAs || v.roots != nil && p.RootCAs != nil && v.roots.Equal(p.RootCAs) {
			return v.config
		}
	}
	c := &tls.Config{
		ServerName:                  e.Host,
		RootCAs:                     p.RootCAs,
		MinVersion:                  tls.VersionTLS12,
		ClientSessionCache:          tls.NewLRUClientSessionCache(1), // one server name
		DynamicRecordSizingDisabled: true,                            // see relay's tlsRecord
	}
	tlsConfigs.Store(e, &verifiedBy{p.RootCAs, c})
	return c
}
