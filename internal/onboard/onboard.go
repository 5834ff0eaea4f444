// Package onboard connects a mailbox: it checks that the owner granted every
// scope, proves the grant by a login to the mailbox, and writes it to the vault.
// A grant that fails the check or the proof changes nothing. Failures are an
// [*Error] with a cause; the caller words it.
package onboard

import (
	"context"
	"errors"

	"authferry/internal/printable"
	"authferry/proxy/upstream"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// Grant is a grant to connect a mailbox with.
type Grant struct {
	Mailbox  string // empty: that of the account that signed in
	SignIn   string // the account that signs in, if it is not the mailbox's own
	Provider *oauth.Provider
	Token    *oauth.Token // nil where the flow needs no person: it is minted then
	// Renewed means that the provider has replaced the refresh token that the
	// grant was imported with, so that Token holds the only one that works. It is
	// kept before the proof, unless the mailbox has a live grant.
	Renewed bool
}

// account returns the account that has to sign in.
func (g *Grant) account() string {
	if g.SignIn != "" {
		return g.SignIn
	}
	return g.Mailbox
}

// Options are what callers do differently.
type Options struct {
	// KeepUnproven keeps a grant although the login could not be tried.
	KeepUnproven bool
	// Admit refuses a mailbox that is known only after the sign-in. Its error is
	// returned as it is. It may be nil.
	Admit func(mailbox string) error
	// BeforeKeep runs after the proof. Its error is returned as it is, and the
	// grant is not kept. It may be nil.
	BeforeKeep func(mailbox string) error
}

// Result is a connected mailbox.
type Result struct {
	Mailbox  string
	SignIn   string
	Token    *oauth.Token
	Unproven error // why the login could not be tried; nil after a proof
}

// Connect checks, proves and keeps a grant.
func Connect(ctx context.Context, vault *tokens.Vault, g Grant, o Options) (*Result, error) {
	if err := mint(ctx, &g); err != nil {
		return nil, err
	}
	if g.Renewed {
		before, err := vault.Account(ctx, g.Mailbox)
		if errors.Is(err, store.ErrNoMailbox) || err == nil && (before.Provider == "" || before.Dead != nil) {
			return connectRenewed(ctx, vault, g, before, o)
		}
	}
	unproven, err := verify(ctx, vault, &g, o)
	if err != nil {
		return nil, err
	}
	if o.BeforeKeep != nil {
		if err := o.BeforeKeep(g.Mailbox); err != nil {
			return nil, err
		}
	}
	c := tokens.Connection{Mailbox: g.Mailbox, SignIn: g.SignIn, Provider: g.Provider.Name, Token: g.Token}
	if err := vault.Connect(ctx, c); err != nil {
		return nil, err
	}
	return &Result{g.Mailbox, g.SignIn, g.Token, unproven}, nil
}

// connectRenewed keeps the only copy of a grant before it checks and proves it:
// otherwise the end of this process would lose it. It removes the grant again
// only if another account signed in.
func connectRenewed(ctx context.Context, vault *tokens.Vault, g Grant, before *store.Account, o Options) (*Result, error) {
	// Untried: it is kept whatever the check would say.
	c := tokens.Connection{Mailbox: g.Mailbox, SignIn: g.SignIn, Provider: g.Provider.Name, Token: g.Token, Untried: true}
	if err := vault.Connect(context.WithoutCancel(ctx), c); err != nil {
		return nil, err
	}
	unproven, err := verify(ctx, vault, &g, o)
	e, failed := errors.AsType[*Error](err)
	switch {
	case err == nil:
		return &Result{g.Mailbox, g.SignIn, g.Token, unproven}, nil
	case failed && e.Cause == WrongAccount:
		return nil, errors.Join(err, restore(context.WithoutCancel(ctx), vault, g.Mailbox, before))
	case failed:
		e.Kept = true
	}
	return nil, err
}

// restore puts a mailbox back as it was before a grant was kept; before is nil
// where there was none. The grant is not revoked: its owner may be using it.
func restore(ctx context.Context, vault *tokens.Vault, mailbox string, before *store.Account) error {
	if before != nil && before.Provider != "" {
		old := before.Token
		return vault.Connect(ctx, tokens.Connection{Mailbox: mailbox, SignIn: before.SignIn, Provider: before.Provider, Token: &old, Untried: true})
	}
	_, err := vault.Remove(ctx, mailbox, tokens.Removal{KeepGrant: true, KeepPasswords: true})
	return err
}

// mint asks for a token where the flow needs no person.
func mint(ctx context.Context, g *Grant) error {
	if g.Token != nil || g.Provider.Flow.NeedsPerson() {
		return nil
	}
	t, err := g.Provider.Mint(ctx, g.Mailbox)
	if err != nil {
		return newError(g, NoToken, err)
	}
	g.Token = t
	return nil
}

// verify checks and proves a grant, and finds out which mailbox it is for. The
// scopes are checked first: with one missing, the login fails as if another
// account had signed in.
func verify(ctx context.Context, vault *tokens.Vault, g *Grant, o Options) (unproven, err error) {
	if err := checkGrant(g); err != nil {
		return nil, err
	}
	if g.Mailbox == "" {
		address, err := g.Provider.WhoIs(ctx, g.Token)
		if err != nil {
			return nil, newError(g, UnknownAccount, err)
		}
		g.Mailbox, _ = vault.Canonical(address)
		if o.Admit != nil {
			if err := o.Admit(g.Mailbox); err != nil {
				return nil, err
			}
		}
	}
	err = Prove(ctx, *g)
	if e, failed := errors.AsType[*Error](err); failed && e.Cause == Unproven && o.KeepUnproven && ctx.Err() == nil {
		return e.Err, nil
	}
	return nil, err
}

func checkGrant(g *Grant) error {
	err := g.Provider.CheckGrant(g.Token)
	if err == nil {
		return nil
	}
	e := newError(g, Incomplete, err)
	// An answer without scopes grants what was asked for: RFC 6749 §5.1.
	if g.Token != nil && len(g.Token.Scopes) > 0 && g.Provider.Flow.NeedsPerson() {
		if e.Scopes = g.Provider.MissingScopes(g.Token.Scopes); len(e.Scopes) > 0 {
			e.Cause = MissingScopes
		}
	}
	return e
}

// Prove logs in to the mailbox of a grant over the provider's first protocol,
// because a person may have signed in with another account. Its error is an
// [*Error]; with the cause Unproven it says nothing about the grant.
func Prove(ctx context.Context, g Grant) error {
	first := g.Provider.FirstProtocol()
	err := upstream.TryLogin(ctx, &tokens.Grant{
		Mailbox: g.Mailbox, User: g.Mailbox, Provider: g.Provider,
		AccessToken: g.Token.Access, Minted: true, Expiry: g.Token.Expiry,
	}, first)
	if err == nil {
		return nil
	}
	e := newError(&g, Unproven, err)
	e.Protocol = first
	if !errors.Is(err, upstream.ErrLoginRefused) || ctx.Err() != nil {
		return e
	}
	if !g.Provider.Flow.NeedsPerson() {
		e.Cause = NotOpened
		return e
	}
	account, err := g.Provider.WhoIs(ctx, g.Token)
	if ctx.Err() != nil {
		e.Err = ctx.Err()
		return e
	}
	if err == nil && printable.Is(account) {
		e.Account = account
	}
	e.Cause = refusalCause(e)
	return e
}
