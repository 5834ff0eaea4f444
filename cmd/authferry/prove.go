package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"authferry/internal/hint"
	"authferry/proxy/upstream"
	"authferry/tokens/oauth"
)

// prove logs in with a grant as the mailbox.
func (v *visit) prove(ctx context.Context, t *oauth.Token) error {
	err := upstream.Prove(ctx, upstream.Claim{Mailbox: v.mailbox, SignIn: v.signIn, Provider: v.provider, Token: t})
	bad := (*upstream.NotGood)(nil)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return errInterrupted
	case errors.As(err, &bad):
		return v.explain(bad)
	}
	fmt.Fprintf(v.cmd.ErrOrStderr(), "authferry: warning: the grant could not be tried out: %v\n", err)
	return nil
}

// explain says what to do about a grant that is not good for the mailbox:
// first of all, whose it is.
func (v *visit) explain(bad *upstream.NotGood) error {
	upper := strings.ToUpper(bad.Protocol)
	switch {
	case !v.flow.NeedsPerson():
		return hint.New(bad, "%s", openedByNobody(v.mailbox, v.provider))
	case bad.WrongPerson():
		return hint.New(bad, "open the page again and choose the right account; nothing was kept of this one")
	case bad.Whose != "" && v.signIn != "":
		return hint.New(bad, "give %s full access to the mailbox at the provider, and see whether it may use %s", v.signIn, upper)
	case bad.Whose != "":
		return hint.New(bad, "see whether the account may use %s", upper)
	}
	return hint.New(bad, "did you sign in as another account than %s, or leave a box unticked? Otherwise see whether the account may use %s", v.person(), upper)
}

// openedByNobody is what to do where a token for a mailbox is not let in, and
// no person gave it.
func openedByNobody(mailbox string, p *oauth.Provider) string {
	if p.Flow == oauth.FlowTokenCommand {
		return "see whether the token that the command prints is one for this mailbox"
	}
	return adviceHint(oauth.CauseDelegation, mailbox, p)
}

// adviceHint puts what to do about a cause, and where, into one sentence; ""
// if nobody knows.
func adviceHint(c oauth.Cause, mailbox string, p *oauth.Provider) string {
	advice := c.Advice(mailbox, p)
	if advice.Page == "" {
		return advice.Fix
	}
	return advice.Fix + ": " + advice.Page
}
