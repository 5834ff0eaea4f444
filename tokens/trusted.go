package tokens

import (
	"context"
	"errors"
	"fmt"

	"authferry/internal/printable"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// Trust is the right to send as a mailbox without a password, which an
// administrator gives to networks with devices that cannot log in.
type Trust struct {
	Mailbox string
	Name    string // stands for a password's in logs; may be empty
	Rules   PasswordRules
}

// trustedNetwork is what takes the place of a password's name.
const trustedNetwork = "(trusted network)"

// AuthorizeTrusted is [Vault.Authorize] for a program that the caller has found
// to be in a trusted network. There is no password that could be wrong: a
// mailbox that nobody has connected is ErrNeedsConsent.
func (v *Vault) AuthorizeTrusted(ctx context.Context, trust Trust) (*Grant, error) {
	mailbox, _ := v.Canonical(trust.Mailbox)
	a, err := v.store.Get(ctx, mailbox)
	switch {
	case errors.Is(err, store.ErrNoMailbox):
		return nil, oauth.NewError(oauth.ErrNeedsConsent, mailbox, nil, oauth.CauseNoGrant, "there is no mailbox "+printable.Quote(mailbox))
	case err != nil:
		return nil, fmt.Errorf("%w: %w", oauth.ErrUnavailable, err)
	}
	p, err := v.settings.Load().provider(a)
	if err != nil {
		return nil, err
	}
	t, fresh, err := v.token(ctx, p, a)
	if err != nil {
		return nil, err
	}
	name := trustedNetwork
	if trust.Name != "" {
		name = trust.Name + " " + trustedNetwork
	}
	return &Grant{
		Mailbox: mailbox, User: mailbox, Trusted: true,
		// Passwords have IDs without spaces. The messages of an hour are counted by it.
		PasswordID: "trusted " + mailbox + " " + trust.Name, PasswordName: name,
		Password: trust.Rules, Provider: p, AccessToken: t.Access, Minted: fresh, Expiry: t.Expiry,
	}, nil
}
