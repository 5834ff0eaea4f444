package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"authferry/internal/hint"
	"authferry/proxy/upstream"
	"authferry/tokens/oauth"
)

// byItself connects a mailbox that nobody has to sign in to.
func (v *visit) byItself(ctx context.Context) error {
	token, err := v.provider.Mint(ctx, v.mailbox)
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		advice := adviceHint(oauth.CauseOf(err), v.mailbox, v.provider)
		if errors.Is(err, oauth.ErrUnavailable) && v.flow != oauth.FlowTokenCommand {
			advice = "nothing was kept; try again later"
		}
		return hint.New(err, "%s", advice)
	}
	return v.keep(ctx, token)
}

// tellEnrolled tells of a mailbox that its first password enrolled, and tries
// whether its provider lets it in. A failure may well be somebody's to mend
// later: the password stays.
func tellEnrolled(ctx context.Context, cmd *cobra.Command, mailbox string, p *oauth.Provider) {
	errs := cmd.ErrOrStderr()
	fmt.Fprintf(errs, "\nEnrolled %s: [provider.%s] opens the mailboxes of its domain.\n", mailbox, p.Name)
	var advice string
	token, err := p.Mint(ctx, mailbox)
	if err != nil {
		advice = adviceHint(oauth.CauseOf(err), mailbox, p)
	} else if err = upstream.Prove(ctx, upstream.Claim{Mailbox: mailbox, Provider: p, Token: token}); errors.As(err, new(*upstream.NotGood)) {
		advice, err = openedByNobody(mailbox, p), errors.Unwrap(err)
	}
	if err == nil {
		fmt.Fprintf(errs, "A login to it over %s was let in.\n", strings.ToUpper(p.FirstProtocol()))
		return
	}
	fmt.Fprintf(errs, "authferry: warning: the password is kept, but the mailbox cannot be opened now: %v\n", err)
	if advice != "" {
		fmt.Fprintf(errs, "hint: %s\n", advice)
	}
}
