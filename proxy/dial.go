package proxy

import (
	"context"
	"net"

	"authferry/tokens/oauth"
)

// Dial connects to a provider as a session does, by way of its proxy if it has
// one, and leaves TLS to the caller.
func Dial(ctx context.Context, p *oauth.Provider, e oauth.Endpoint) (net.Conn, error) {
	w, err := dialWire(ctx, p, e)
	if err != nil {
		return nil, err // a nil *wire is no nil net.Conn
	}
	return w, nil
}
