package proxy

import (
	"context"

	"authferry/tokens"
)

// dial connects to a provider: TCP, and TLS if the endpoint starts with it. The
// deadline of ctx holds for everything read and written until the relay begins.
func dial(ctx context.Context, p *tokens.Provider, e tokens.Endpoint) (*lineConn, error) {
	panic("unwritten")
}
