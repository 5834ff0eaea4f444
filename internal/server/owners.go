package server

import (
	"context"

	"go.uber.org/zap"

	"authferry/tokens/store"
)

// recallOwners tells the gate from where passwords were used before a restart,
// so that nobody who guesses at a mailbox then keeps its owner out.
func (s *Server) RecallOwners(ctx context.Context) {
	err := s.Vault.LastUses(ctx, func(mailbox string, u store.Use) { s.Gate.Remember(u.From, mailbox, u.At) })
	if err != nil && ctx.Err() == nil {
		s.Log.Warn("from where mailboxes were used last could not be read; guessing at one may keep its owner out until the next login", zap.Error(err))
	}
}
