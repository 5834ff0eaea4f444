package main

import (
	"context"

	"authferry/check"
	"authferry/tokens"
)

// checkMailbox is `authferry check MAILBOX` for the console, on the store that
// is open here.
func (s *service) checkMailbox(ctx context.Context, mailbox string, report func(check.Step)) {
	c := s.config.Load()
	check.Run(ctx, check.Subject{
		Config: c.file, Store: c.store, Seal: c.seal, Providers: c.settings.Providers, Hostname: c.hostname,
		Mailboxes: []string{mailbox},
		Open:      func() (*tokens.Vault, error) { return s.vault, nil },
	}, report)
}
