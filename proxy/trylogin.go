package proxy

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"authferry/tokens"
)

// ErrLoginRefused is what TryLogin returns if the provider was reached and lets
// nobody in with this grant.
var ErrLoginRefused = errors.New("the login is refused")

// TryLogin logs in to a grant's provider over a protocol ("imap", "pop3" or
// "smtp"), as a session would, and hangs up. An error that is not
// [ErrLoginRefused] says nothing about the grant.
func TryLogin(ctx context.Context, g *tokens.Grant, protocol string) error {
	s := &session{
		Server:  &Server{Protocol: protocol, Hostname: "localhost", Limits: Limits{}.withDefaults(), Log: zap.NewNop()},
		dialect: newDialect(protocol),
	}
	provider, err := s.enter(ctx, g)
	switch {
	case errors.Is(err, errTokenRefused), errors.Is(err, errProviderRefused):
		return fmt.Errorf("%w: %w", ErrLoginRefused, err)
	case err != nil:
		return fmt.Errorf("%s: %w", s.doing, err)
	}
	return provider.Close()
}
