package connect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"authferry/internal/console/people"
	"authferry/internal/onboard"
	"authferry/internal/printable"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// conclusion connects a mailbox with the grant of a sign-in.
type conclusion struct {
	people.InvitationStore
	log *zap.Logger
}

// conclude checks, proves and keeps a grant, and creates the password that an
// invitation offers. An invitation is used up before the grant is kept, so that
// of two sign-ins at the same time one changes nothing; it is restored if a later
// step fails.
func (c *conclusion) conclude(ctx context.Context, e *signIn, t *oauth.Token) *outcome {
	used := false // the invitation
	done := &outcome{}
	connected, err := onboard.Connect(ctx, c.Vault, onboard.Grant{Mailbox: e.Mailbox, SignIn: e.SignIn, Provider: e.Provider, Token: t}, onboard.Options{
		// An invitation is open to anyone with its link: only the proof shows
		// that it was the owner of the mailbox who signed in.
		KeepUnproven: e.untried,
		Admit: func(mailbox string) error {
			if !e.Invitation.Admits(mailbox) {
				return &notAdmitted{mailbox}
			}
			return nil
		},
		BeforeKeep: func(mailbox string) error {
			done.Mailbox = mailbox
			if e.Invitation == nil {
				return nil
			}
			err := c.Claim(ctx, e.Invitation.Hash, mailbox, e.from)
			used = err == nil
			return err
		},
	})
	if refused := refusedGrant(e, err); refused != nil {
		return refused
	}
	if err == nil {
		done.Grant = connected.Token.RefreshExpiry
		if connected.Unproven != nil {
			done.Untried = connected.Unproven.Error()
		}
		if e.Invitation != nil && e.Invitation.Offer.Name != "" {
			err = c.makePassword(ctx, e.Invitation, done)
		}
	}
	if err == nil {
		return done
	}
	if used {
		// The deadline of the other steps may be over.
		later, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
		defer cancel()
		if err := c.Release(later, e.Invitation.Hash); err != nil {
			c.log.Error("an invitation was used up, but its mailbox was not connected: create another one",
				zap.String("mailbox", done.Mailbox), zap.String("invitation", e.Invitation.ID), zap.Error(err))
		}
	}
	c.log.Error("a mailbox could not be connected", zap.String("mailbox", done.Mailbox), zap.Error(err))
	return unavailable(err)
}

// notAdmitted is a mailbox that an invitation is not for.
type notAdmitted struct{ mailbox string }

func (e *notAdmitted) Error() string { return "the invitation is not for " + e.mailbox }

// refusedGrant words why a grant was not accepted; nil for other errors.
func refusedGrant(e *signIn, err error) *outcome {
	if bad, ok := errors.AsType[*onboard.Error](err); ok {
		return wordCause(bad)
	}
	if other, ok := errors.AsType[*notAdmitted](err); ok {
		return &outcome{Failure: "connect.fail.domain", Pairs: []any{"whose", other.mailbox, "domain", e.Invitation.Domain}, Again: true}
	}
	if ended, ok := errors.AsType[*people.InvitationEnded](err); ok {
		return &outcome{Failure: "invite.ended." + string(ended.State)}
	}
	if errors.Is(err, people.ErrNoInvitation) {
		return &outcome{Failure: "invite.unknown"}
	}
	return nil
}

func unavailable(err error) *outcome {
	return &outcome{Failure: "connect.fail.unavailable", Detail: err.Error(), Again: true}
}

// wordCause words why a grant does not open the mailbox.
func wordCause(bad *onboard.Error) *outcome {
	o := &outcome{Detail: bad.Err.Error(), Again: true}
	proto := bad.Protocol.Upper()
	switch bad.Cause {
	case onboard.MissingScopes:
		o.Failure, o.Detail = "connect.fail.scope", strings.Join(bad.Scopes, " ")
	case onboard.Incomplete:
		o.Failure = "connect.fail.grant"
	case onboard.UnknownAccount:
		o.Failure, o.Pairs = "connect.fail.unnamed", []any{"provider", bad.Provider.Brand()}
	case onboard.NoToken, onboard.NotOpened:
		fix, page := bad.Advice()
		o.Failure, o.Pairs, o.Again = "connect.fail.alone", []any{"mailbox", bad.Mailbox}, false
		o.Detail = strings.TrimRight(strings.Join([]string{o.Detail, fix, page}, "; "), "; ")
	case onboard.WrongAccount:
		o.Failure, o.Pairs = "connect.fail.person", []any{"whose", bad.Account, "expected", bad.Expected()}
	case onboard.NotDelegated:
		o.Failure, o.Pairs = "connect.fail.delegate", []any{"whose", bad.SignIn, "mailbox", bad.Mailbox, "protocol", proto}
	case onboard.ProtocolOff:
		o.Failure, o.Pairs = "connect.fail.protocol", []any{"mailbox", bad.Mailbox, "protocol", proto}
	case onboard.Refused:
		o.Failure, o.Pairs = "connect.fail.refused", []any{"mailbox", bad.Mailbox, "protocol", proto}
	default:
		return unavailable(bad.Err)
	}
	return o
}

// releaseTimeout bounds one write to the store.
const releaseTimeout = 10 * time.Second

// makePassword creates the password that an invitation offers. If its name is
// taken, the password gets a numbered name.
func (c *conclusion) makePassword(ctx context.Context, i *people.Invitation, done *outcome) error {
	spec := i.Offer.Spec(c.Now())
	a, err := c.Vault.Account(ctx, done.Mailbox)
	if err != nil {
		return err
	}
	spec.Name = freeName(spec.Name, func(name string) bool {
		return slices.ContainsFunc(a.Passwords, func(p store.Password) bool { return strings.EqualFold(p.Name, name) })
	})
	done.Password, err = c.Vault.AddPassword(ctx, done.Mailbox, spec)
	done.Made = &spec
	return err
}

// freeName returns a name, with the first number that makes it free if it is taken.
func freeName(name string, taken func(string) bool) string {
	free := name
	for n := 2; taken(free); n++ {
		suffix := fmt.Sprintf(" (%d)", n)
		free = printable.Prefix(name, mostPasswordName-len(suffix)) + suffix
	}
	return free
}

// mostPasswordName bounds the name of a password, in bytes.
const mostPasswordName = 64
