package proxy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"authferry/internal/printable"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// Claim is a grant that somebody says is good for a mailbox.
type Claim struct {
	Mailbox  string
	SignIn   string // who was to sign in, if not as the mailbox itself
	Provider *oauth.Provider
	Token    *oauth.Token
}

// person is who was to sign in.
func (c *Claim) person() string {
	if c.SignIn != "" {
		return c.SignIn
	}
	return c.Mailbox
}

// NotGood is a grant that the provider takes from nobody for the mailbox.
type NotGood struct {
	Claim
	Protocol string // the login was tried over
	Whose    string // who signed in, as far as the provider tells; safe to print
	Refusal  error
}

func (e *NotGood) Unwrap() error { return e.Refusal }

// WrongPerson tells that somebody signed in as somebody else.
func (e *NotGood) WrongPerson() bool {
	return e.Whose != "" && !strings.EqualFold(e.Whose, e.person())
}

func (e *NotGood) Error() string {
	switch {
	case !e.Provider.Flow.NeedsPerson():
		return fmt.Sprintf("%s does not open %s, which is not kept: %v", e.Provider.Name, e.Mailbox, e.Refusal)
	case e.WrongPerson():
		return fmt.Sprintf("you signed in as %s, expected %s: %v", e.Whose, e.person(), e.Refusal)
	case e.Whose != "" && e.SignIn != "":
		return fmt.Sprintf("the grant of %s is not good for %s, and is not kept: %v", e.SignIn, e.Mailbox, e.Refusal)
	}
	return fmt.Sprintf("the grant is not good for %s, and is not kept: %v", e.Mailbox, e.Refusal)
}

// Prove logs in with a grant as the mailbox, since a person may have signed in
// as somebody else: such a grant would be refused at every login to come. Its
// error is a *NotGood then. Any other error says nothing about the grant.
func Prove(ctx context.Context, c Claim) error {
	protocol := c.Provider.FirstProtocol()
	grant := &tokens.Grant{
		Mailbox: c.Mailbox, User: c.Mailbox, Provider: c.Provider,
		AccessToken: c.Token.Access, Minted: true, Expiry: c.Token.Expiry,
	}
	err := TryLogin(ctx, grant, protocol)
	if !errors.Is(err, ErrLoginRefused) || ctx.Err() != nil {
		return err
	}
	e := &NotGood{Claim: c, Protocol: protocol, Refusal: err}
	if !c.Provider.Flow.NeedsPerson() {
		return e
	}
	whose, err := c.Provider.WhoIs(ctx, c.Token)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil && printable.Is(whose) {
		e.Whose = whose
	}
	return e
}
