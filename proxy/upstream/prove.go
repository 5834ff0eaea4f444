package upstream

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"authferry/internal/printable"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// ErrLoginRefused is the error of [TryLogin] if the provider was reached and
// refuses the grant.
var ErrLoginRefused = errors.New("the login is refused")

// TryLogin logs in with a grant over a protocol ("imap", "pop3" or "smtp"), as a
// session would, and hangs up. An error that is not [ErrLoginRefused] says nothing
// about the grant.
func TryLogin(ctx context.Context, g *tokens.Grant, protocol string) error {
	var step string
	session, err := Login(ctx, g, Options{Protocol: protocol, Hostname: "localhost", Step: &step})
	switch {
	case errors.Is(err, ErrTokenRefused), errors.Is(err, ErrProviderRefused):
		return fmt.Errorf("%w: %w", ErrLoginRefused, err)
	case err != nil:
		return fmt.Errorf("%s: %w", step, err)
	}
	return session.Conn.Close()
}

// Claim is a grant, and the mailbox it is said to be valid for.
type Claim struct {
	Mailbox  string
	SignIn   string // the account that was to sign in; empty: the mailbox
	Provider *oauth.Provider
	Token    *oauth.Token
}

// account returns the account that was to sign in.
func (c *Claim) account() string {
	if c.SignIn != "" {
		return c.SignIn
	}
	return c.Mailbox
}

// NotGood is the error of a grant that the provider refuses for the mailbox.
type NotGood struct {
	Claim
	Protocol string // of the login that was tried
	Whose    string // the account that signed in, if the provider says so; safe to print
	Refusal  error
}

func (e *NotGood) Unwrap() error { return e.Refusal }

// WrongPerson reports whether another account than the expected one signed in.
func (e *NotGood) WrongPerson() bool {
	return e.Whose != "" && !strings.EqualFold(e.Whose, e.account())
}

func (e *NotGood) Error() string {
	switch {
	case !e.Provider.Flow.NeedsPerson():
		return fmt.Sprintf("%s does not open %s, which is not kept: %v", e.Provider.Name, e.Mailbox, e.Refusal)
	case e.WrongPerson():
		return fmt.Sprintf("you signed in as %s, expected %s: %v", e.Whose, e.account(), e.Refusal)
	case e.Whose != "" && e.SignIn != "":
		return fmt.Sprintf("the grant of %s is not good for %s, and is not kept: %v", e.SignIn, e.Mailbox, e.Refusal)
	}
	return fmt.Sprintf("the grant is not good for %s, and is not kept: %v", e.Mailbox, e.Refusal)
}

// Prove logs in with a grant as the mailbox, since a person may have signed in as
// another account: every later login with such a grant would be refused. Its error
// is a [*NotGood] then. Any other error says nothing about the grant.
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
