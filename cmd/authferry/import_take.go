package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"authferry/internal/address"
	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/internal/importer"
	"authferry/internal/secret"
	"authferry/proxy/upstream"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// take proves the grant of one mailbox and keeps it, with the password that
// mail programs are used to.
func (m *mover) take(ctx context.Context, a importer.Account, p *oauth.Provider, format string) error {
	mailbox, _ := m.vault.Canonical(a.Mailbox)
	if err := address.Check(mailbox); err != nil {
		return hint.Usage(err, "import takes whole addresses, such as you@gmail.com")
	}
	v := &visit{cmd: m.cmd, vault: m.vault, provider: p, flow: config.FlowName(p.Flow), mailbox: mailbox}
	var err error
	switch {
	case m.flags.noCheck:
		err = m.keepUnproved(ctx, v, a.Refresh)
	case p.Flow.NeedsPerson():
		err = keepProved(ctx, v, a.Refresh)
	default:
		err = v.byItself(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", mailbox, err)
	}
	if m.flags.keepPassword {
		return m.keepPassword(ctx, mailbox, format)
	}
	return nil
}

// keepProved keeps a grant that can be refreshed and opens the mailbox.
func keepProved(ctx context.Context, v *visit, refresh secret.String) error {
	t, err := v.provider.Redeem(ctx, refresh)
	switch {
	case errors.Is(err, oauth.ErrNeedsConsent):
		return hint.New(fmt.Errorf("the provider takes this grant no more: %w", err), "sign in anew: authferry connect %s --provider %s", v.mailbox, v.provider.Name)
	case errors.Is(err, oauth.ErrRefused):
		return fmt.Errorf("the grant could not be tried out: %w", err)
	case err != nil:
		return hint.New(fmt.Errorf("the grant could not be tried out, and is not kept: %w", err), "try again, or add --no-check to keep it untried")
	}
	if t.Refresh == refresh {
		return v.explainRefused(v.keep(ctx, t))
	}
	return v.keepRenewed(ctx, t)
}

// explainRefused says what to do about an imported grant that is not good.
func (v *visit) explainRefused(err error) error {
	if !errors.Is(err, upstream.ErrLoginRefused) {
		return err
	}
	return hint.New(err, "nothing was kept: see whether the file is that of %s, or sign in anew: authferry connect %s --provider %s", v.mailbox, v.mailbox, v.provider.Name)
}

// keepRenewed is keep for a grant whose refresh token the provider has replaced:
// the one good token there is would be lost with this process. So it is kept
// before it is tried out, unless a live one is in its place, and taken out again
// only if it turns out to be somebody else's.
func (v *visit) keepRenewed(ctx context.Context, t *oauth.Token) error {
	fmt.Fprintf(v.cmd.ErrOrStderr(), "authferry: warning: %s renewed the grant of %s; the program it is from may have to sign in anew\n", v.provider.Name, v.mailbox)
	was, err := v.vault.Account(ctx, v.mailbox)
	if err != nil && !errors.Is(err, store.ErrNoMailbox) || err == nil && was.Provider != "" && was.Dead == nil {
		return v.explainRefused(v.keep(ctx, t))
	}
	// Whatever it lacks, it is the only one.
	kept := tokens.Connection{Mailbox: v.mailbox, Provider: v.provider.Name, Token: t, Untried: true}
	if err := v.vault.Connect(context.WithoutCancel(ctx), kept); err != nil {
		return err
	}
	if err = v.provider.CheckGrant(t); err == nil {
		err = v.prove(ctx, t)
	}
	bad := (*upstream.NotGood)(nil)
	if errors.As(err, &bad) {
		if bad.WrongPerson() {
			return errors.Join(v.explainRefused(err), v.undo(context.WithoutCancel(ctx), was))
		}
		err = bad.Refusal
	}
	if err != nil {
		return hint.New(fmt.Errorf("the grant is kept, since the one in the file may be good no more, but it did not open the mailbox: %w", err),
			"see whether the account may use %s, or sign in anew: authferry connect %s --provider %s", strings.ToUpper(v.provider.FirstProtocol()), v.mailbox, v.provider.Name)
	}
	farewell(v.cmd, v.mailbox, t)
	return nil
}

// undo puts a mailbox back as it was before a grant was kept, nil if there was
// none. That grant is not given back: it is somebody's, and may be in use.
func (v *visit) undo(ctx context.Context, was *store.Account) error {
	if was != nil && was.Provider != "" {
		old := was.Token
		return v.vault.Connect(ctx, tokens.Connection{Mailbox: v.mailbox, SignIn: was.SignIn, Provider: was.Provider, Token: &old, Untried: true})
	}
	_, err := v.vault.Remove(ctx, v.mailbox, tokens.Removal{KeepGrant: true, KeepPasswords: true})
	return err
}

// keepUnproved keeps a grant as it is, but not in place of one: that might be
// the better one.
func (m *mover) keepUnproved(ctx context.Context, v *visit, refresh secret.String) error {
	a, err := m.vault.Account(ctx, v.mailbox)
	if err != nil && !errors.Is(err, store.ErrNoMailbox) {
		return err
	}
	if err == nil && a.Provider != "" && a.Dead == nil {
		return hint.Usage(errors.New("it has a grant already"), "leave --no-check out, so that this one is tried out before it takes the other's place")
	}
	c := tokens.Connection{Mailbox: v.mailbox, Provider: v.provider.Name}
	if v.provider.Flow.NeedsPerson() {
		c.Token, c.Untried = &oauth.Token{Refresh: refresh}, true
	}
	if err := m.vault.Connect(ctx, c); err != nil {
		return err
	}
	fmt.Fprintf(m.cmd.ErrOrStderr(), "Connected %s untried; its first login will show whether it can be opened.\n", v.mailbox)
	return nil
}

// keepPassword makes the password of the other program a local one.
func (m *mover) keepPassword(ctx context.Context, mailbox, name string) error {
	a, err := m.vault.Account(ctx, mailbox)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(a.Passwords, func(p store.Password) bool { return p.Name == name }) {
		fmt.Fprintf(m.cmd.ErrOrStderr(), "%s has a password named %q already; it stays as it is.\n", mailbox, name)
		return nil
	}
	if _, err := m.vault.AddPassword(ctx, mailbox, tokens.PasswordSpec{Name: name, Preset: m.password}); err != nil {
		return hint.New(fmt.Errorf("the grant of %s is kept, the password of its mail programs is not: %w", mailbox, err),
			"there, a password only decrypted what was on its disk; here it opens the mailbox, so one that can be guessed will not do. Make another by authferry password add %s --name \"My program\"", mailbox)
	}
	fmt.Fprintf(m.cmd.ErrOrStderr(), "Mail programs log in to %s with the password they have.\n", mailbox)
	return nil
}
