package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"authferry/proxy"
	"authferry/tokens"
)

// prove logs in with a grant as the mailbox. A person may have signed in as
// somebody else; such a grant would be refused at every login to come.
func (v *visit) prove(ctx context.Context, t *tokens.Token) error {
	protocol, err := tryGrant(ctx, v.provider, v.mailbox, t)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return errInterrupted
	case errors.Is(err, proxy.ErrLoginRefused):
		return v.explain(ctx, t, protocol, err)
	}
	fmt.Fprintf(v.cmd.ErrOrStderr(), "authferry: warning: the grant could not be tried out: %v\n", err)
	return nil
}

// tryGrant logs in with a token over the first protocol there is.
func tryGrant(ctx context.Context, p *tokens.Provider, mailbox string, t *tokens.Token) (protocol string, err error) {
	protocol = "imap"
	for _, e := range []struct {
		protocol string
		endpoint tokens.Endpoint
	}{{"smtp", p.SMTP}, {"pop3", p.POP3}, {"imap", p.IMAP}} {
		if e.endpoint.Host != "" {
			protocol = e.protocol
		}
	}
	grant := &tokens.Grant{Mailbox: mailbox, User: mailbox, Provider: p, AccessToken: t.Access, Minted: true, Expiry: t.Expiry}
	return protocol, proxy.TryLogin(ctx, grant, protocol)
}

// explain says why a grant is not good for the mailbox: first of all, whose it is.
func (v *visit) explain(ctx context.Context, t *tokens.Token, protocol string, refusal error) error {
	upper := strings.ToUpper(protocol)
	if !v.flow.NeedsPerson() {
		return failed(fmt.Errorf("%s does not open %s, which is not kept: %w", v.provider.Name, v.mailbox, refusal), "%s", openedByNobody(v.mailbox, v.provider))
	}
	whose, err := v.provider.WhoIs(ctx, t)
	known := err == nil && printable(whose)
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case known && !strings.EqualFold(whose, v.person()):
		return failed(fmt.Errorf("you signed in as %s, expected %s: %w", whose, v.person(), refusal),
			"open the page again and choose the right account; nothing was kept of this one")
	case known && v.signIn != "":
		return failed(fmt.Errorf("the grant of %s is not good for %s, and is not kept: %w", v.signIn, v.mailbox, refusal),
			"give %s full access to the mailbox at the provider, and see whether it may use %s", v.signIn, upper)
	case known:
		return failed(fmt.Errorf("the grant is not good for %s, and is not kept: %w", v.mailbox, refusal),
			"see whether the account may use %s", upper)
	}
	return failed(fmt.Errorf("the grant is not good for %s, and is not kept: %w", v.mailbox, refusal),
		"did you sign in as another account than %s, or leave a box unticked? Otherwise see whether the account may use %s", v.person(), upper)
}

// openedByNobody is what to do where a token for a mailbox is not let in, and
// no person gave it.
func openedByNobody(mailbox string, p *tokens.Provider) string {
	if p.Flow == tokens.FlowTokenCommand {
		return "see whether the token that the command prints is one for this mailbox"
	}
	return adviceHint(tokens.CauseDelegation, mailbox, p)
}

// adviceHint puts what to do about a cause, and where, into one sentence; ""
// if nobody knows.
func adviceHint(c tokens.Cause, mailbox string, p *tokens.Provider) string {
	advice := c.Advice(mailbox, p)
	if advice.Page == "" {
		return advice.Fix
	}
	return advice.Fix + ": " + advice.Page
}

// printable tells whether an address that a provider names can be shown as it is.
func printable(address string) bool {
	return len(address) <= 254 && checkMailbox(address) == nil &&
		!strings.ContainsFunc(address, func(r rune) bool { return !unicode.IsGraphic(r) })
}
