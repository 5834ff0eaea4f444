package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"authferry/internal/printable"
	"authferry/proxy/upstream"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// conclusion makes a connected mailbox of what a person allowed.
type conclusion struct {
	*documents
	log *zap.Logger
}

// conclude proves a grant, keeps it, and makes the password that an invitation
// brings. The proofs are those of the command line.
func (c *conclusion) conclude(ctx context.Context, e *errand, t *oauth.Token) *outcome {
	p := e.Provider
	if missing := p.MissingScopes(t.Scopes); len(t.Scopes) > 0 && len(missing) > 0 && p.Flow.NeedsPerson() {
		return &outcome{Failure: "connect.fail.scope", Again: true, Detail: strings.Join(missing, " ")}
	}
	if err := p.CheckGrant(t); err != nil {
		return &outcome{Failure: "connect.fail.grant", Detail: err.Error(), Again: true}
	}
	mailbox, failure := c.whose(ctx, e, t)
	if failure != nil {
		return failure
	}
	done := &outcome{Mailbox: mailbox, Grant: t.RefreshExpiry}
	err := upstream.Prove(ctx, upstream.Claim{Mailbox: mailbox, SignIn: e.SignIn, Provider: p, Token: t})
	bad, refused := errors.AsType[*upstream.NotGood](err)
	switch {
	case refused:
		return notGood(bad)
	case err != nil && !e.untried:
		// Who holds a link is let at a mailbox by nothing but this proof.
		return unavailable(err)
	case err != nil:
		done.Untried = err.Error()
	}
	return c.keep(ctx, e, t, done)
}

// whose is the mailbox that an errand is about. Where it may be any of a domain
// the provider is asked who signed in; the login that follows proves it.
func (c *conclusion) whose(ctx context.Context, e *errand, t *oauth.Token) (string, *outcome) {
	if e.Mailbox != "" {
		return e.Mailbox, nil
	}
	address, err := e.Provider.WhoIs(ctx, t)
	if err != nil {
		return "", &outcome{Failure: "connect.fail.unnamed", Pairs: []any{"provider", e.Provider.Brand()}, Detail: err.Error(), Again: true}
	}
	mailbox, _ := c.vault.Canonical(address)
	if !e.Invitation.admits(mailbox) {
		return "", &outcome{Failure: "connect.fail.domain", Pairs: []any{"whose", mailbox, "domain", e.Invitation.Domain}, Again: true}
	}
	return mailbox, nil
}

func unavailable(err error) *outcome {
	return &outcome{Failure: "connect.fail.unavailable", Detail: err.Error(), Again: true}
}

// notGood says why a grant does not open the mailbox.
func notGood(bad *upstream.NotGood) *outcome {
	o := &outcome{Detail: bad.Refusal.Error(), Again: true}
	upper := strings.ToUpper(bad.Protocol)
	person := bad.Mailbox
	if bad.SignIn != "" {
		person = bad.SignIn
	}
	switch {
	case !bad.Provider.Flow.NeedsPerson():
		advice := oauth.CauseDelegation.Advice(bad.Mailbox, bad.Provider)
		o.Failure, o.Pairs, o.Again = "connect.fail.alone", []any{"mailbox", bad.Mailbox}, false
		o.Detail = strings.TrimSuffix(strings.Join([]string{bad.Refusal.Error(), advice.Fix, advice.Page}, "; "), "; ")
	case bad.WrongPerson():
		o.Failure, o.Pairs = "connect.fail.person", []any{"whose", bad.Whose, "expected", person}
	case bad.SignIn != "":
		o.Failure, o.Pairs = "connect.fail.delegate", []any{"whose", bad.SignIn, "mailbox", bad.Mailbox, "protocol", upper}
	case bad.Whose != "":
		o.Failure, o.Pairs = "connect.fail.protocol", []any{"mailbox", bad.Mailbox, "protocol", upper}
	default:
		o.Failure, o.Pairs = "connect.fail.refused", []any{"mailbox", bad.Mailbox, "protocol", upper}
	}
	return o
}

// keep keeps a proven grant. An invitation is used up first, so that of two who
// come at once one does nothing at all; it is given back if the rest fails.
func (c *conclusion) keep(ctx context.Context, e *errand, t *oauth.Token, done *outcome) *outcome {
	mailbox := done.Mailbox
	if e.Invitation != nil {
		err := c.claim(ctx, e.Invitation.Hash, mailbox, e.from)
		if ended, ok := errors.AsType[*invitationEnded](err); ok {
			return &outcome{Failure: "invite.ended." + string(ended.state)}
		}
		if errors.Is(err, errNoInvitation) {
			return &outcome{Failure: "invite.unknown"}
		}
		if err != nil {
			return unavailable(err)
		}
	}
	err := c.vault.Connect(ctx, tokens.Connection{Mailbox: mailbox, SignIn: e.SignIn, Provider: e.Provider.Name, Token: t})
	if err == nil && e.Invitation != nil && e.Invitation.Offer.Name != "" {
		err = c.makePassword(ctx, e.Invitation, done)
	}
	if err == nil {
		return done
	}
	if e.Invitation != nil {
		// The time that the rest was given may be over.
		later, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackTime)
		defer cancel()
		if err := c.giveBack(later, e.Invitation.Hash); err != nil {
			c.log.Error("an invitation is used up although it came to nothing: make another one",
				zap.String("mailbox", mailbox), zap.String("invitation", e.Invitation.ID), zap.Error(err))
		}
	}
	c.log.Error("a mailbox could not be connected", zap.String("mailbox", mailbox), zap.Error(err))
	return unavailable(err)
}

// giveBackTime bounds one write to the store.
const giveBackTime = 10 * time.Second

// makePassword makes the password of an invitation. One of its name may be there
// already, and in use: the new one gets a number then.
func (c *conclusion) makePassword(ctx context.Context, i *Invitation, done *outcome) error {
	spec := i.Offer.spec(c.now())
	a, err := c.vault.Account(ctx, done.Mailbox)
	if err != nil {
		return err
	}
	spec.Name = freeName(spec.Name, func(name string) bool {
		return slices.ContainsFunc(a.Passwords, func(p store.Password) bool { return strings.EqualFold(p.Name, name) })
	})
	done.Password, err = c.vault.AddPassword(ctx, done.Mailbox, spec)
	done.Made = &spec
	return err
}

// freeName is a name, or the same with the first number that makes it free.
func freeName(name string, taken func(string) bool) string {
	free := name
	for n := 2; taken(free); n++ {
		suffix := fmt.Sprintf(" (%d)", n)
		free = printable.Prefix(name, mostPasswordName-len(suffix)) + suffix
	}
	return free
}

// mostPasswordName is how long the name of a password may be, in bytes.
const mostPasswordName = 64
