package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"authferry/migrate"
	"authferry/proxy"
	"authferry/tokens"
)

// take proves the grant of one mailbox and keeps it, with the password that
// mail programs are used to.
func (m *mover) take(ctx context.Context, a migrate.Account, p *tokens.Provider, format string) error {
	mailbox, _ := m.vault.Canonical(a.Mailbox)
	if err := checkMailbox(mailbox); err != nil {
		return misused(err, "import takes whole addresses, such as you@gmail.com")
	}
	v := &visit{cmd: m.cmd, vault: m.vault, provider: p, flow: flowName(p.Flow), mailbox: mailbox}
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
func keepProved(ctx context.Context, v *visit, refresh tokens.Secret) error {
	t, err := v.provider.Redeem(ctx, refresh)
	switch {
	case errors.Is(err, tokens.ErrNeedsConsent):
		return failed(fmt.Errorf("the provider takes this grant no more: %w", err), "sign in anew: authferry connect %s --provider %s", v.mailbox, v.provider.Name)
	case errors.Is(err, tokens.ErrRefused):
		return fmt.Errorf("the grant could not be tried out: %w", err)
	case err != nil:
		return failed(fmt.Errorf("the grant could not be tried out, and is not kept: %w", err), "try again, or add --no-check to keep it untried")
	}
	err = v.keep(ctx, t)
	if err != nil && t.Refresh != refresh {
		fmt.Fprintf(v.cmd.ErrOrStderr(), "authferry: warning: %s renewed the grant of %s meanwhile; the program it is from may have to sign in anew\n", v.provider.Name, v.mailbox)
	}
	if errors.Is(err, proxy.ErrLoginRefused) {
		return failed(err, "nothing was kept: see whether the file is that of %s, or sign in anew: authferry connect %s --provider %s", v.mailbox, v.mailbox, v.provider.Name)
	}
	return err
}

// keepUnproved keeps a grant as it is, but not in place of one: that might be
// the better one.
func (m *mover) keepUnproved(ctx context.Context, v *visit, refresh tokens.Secret) error {
	a, err := m.vault.Account(ctx, v.mailbox)
	if err != nil && !errors.Is(err, tokens.ErrNoMailbox) {
		return err
	}
	if err == nil && a.Provider != "" && a.Dead == nil {
		return misused(errors.New("it has a grant already"), "leave --no-check out, so that this one is tried out before it takes the other's place")
	}
	c := tokens.Connection{Mailbox: v.mailbox, Provider: v.provider.Name}
	if v.provider.Flow.NeedsPerson() {
		c.Token, c.Untried = &tokens.Token{Refresh: refresh}, true
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
	if slices.ContainsFunc(a.Passwords, func(p tokens.Password) bool { return p.Name == name }) {
		fmt.Fprintf(m.cmd.ErrOrStderr(), "%s has a password named %q already; it stays as it is.\n", mailbox, name)
		return nil
	}
	if _, err := m.vault.AddPassword(ctx, mailbox, tokens.PasswordSpec{Name: name, Preset: m.password}); err != nil {
		return failed(fmt.Errorf("the grant of %s is kept, the password of its mail programs is not: %w", mailbox, err),
			"there, a password only decrypted what was on its disk; here it opens the mailbox, so one that can be guessed will not do. Make another by authferry password add %s --name \"My program\"", mailbox)
	}
	fmt.Fprintf(m.cmd.ErrOrStderr(), "Mail programs log in to %s with the password they have.\n", mailbox)
	return nil
}
