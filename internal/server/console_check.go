package server

import (
	"context"

	"authferry/internal/check"
	"authferry/tokens"
)

// checkMailbox is `authferry check MAILBOX` for the console, on the store that
// is open here.
func (s *Server) checkMailbox(ctx context.Context, mailbox string, report func(check.Step)) {
	c := s.Config.Load()
	check.Run(ctx, check.Subject{
		Config: c.File, Store: c.Store, Seal: c.Seal, Providers: c.Settings.Providers, Hostname: c.Hostname,
		Mailboxes: []string{mailbox},
		Open:      func() (*tokens.Vault, error) { return s.Vault, nil },
	}, report)
}
