package proxy

import (
	"context"
	"errors"

	"authferry/tokens"
)

// authorize finds out for whom the client may act. A wrong password keeps its
// turn until it has been counted: see turnAway.
func (s *session) authorize(ctx context.Context) (*tokens.Grant, error) {
	if s.trust != nil {
		return s.authorizeTrusted(ctx)
	}
	s.doing = "checking the local password"
	mailbox, _ := s.Vault.Canonical(s.login.User)
	done, err := s.Gate.Begin(ctx, s.login.From, mailbox)
	if err != nil {
		return nil, err
	}
	s.judged = done
	grant, err := s.Vault.Authorize(ctx, s.login)
	if err == nil {
		s.Gate.Succeeded(s.login.From, mailbox)
	}
	if !errors.Is(err, tokens.ErrBadLogin) {
		s.endTurn()
	}
	return grant, err
}

// endTurn lets the next login to the same mailbox be judged.
func (s *session) endTurn() {
	if s.judged != nil {
		s.judged()
		s.judged = nil
	}
}

// penalize counts a wrong login and waits as long as it has earned.
func (s *session) penalize(ctx context.Context) error {
	wrong := s.login
	wrong.User, _ = s.Vault.Canonical(s.login.User) // an alias is not another mailbox
	return s.Gate.Failed(ctx, wrong, s.endTurn)
}
