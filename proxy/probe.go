package proxy

import (
	"context"

	"go.uber.org/zap"

	"authferry/tokens"
)

// TryLogin logs in to a provider with a grant and hangs up: proof that the
// grant opens the mailbox it is for. The error says what to mend.
func TryLogin(ctx context.Context, g *tokens.Grant, protocol string) error {
	server := &Server{Protocol: protocol, Hostname: "localhost", Limits: Limits{}.withDefaults(), Log: zap.NewNop()}
	s := &session{Server: server, dialect: newDialect(protocol)}
	provider, err := s.enter(ctx, g)
	if err != nil {
		return err
	}
	return provider.Close()
}
