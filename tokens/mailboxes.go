package tokens

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"authferry/internal/address"
	"authferry/internal/printable"
	"authferry/internal/secret"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// Mailboxes lists the addresses in alphabetical order.
func (v *Vault) Mailboxes(ctx context.Context) ([]string, error) { return v.store.Mailboxes(ctx) }

// Account returns what is kept of a mailbox, named in any way a program may
// name it. The result is shared: do not change it.
func (v *Vault) Account(ctx context.Context, mailbox string) (*store.Account, error) {
	mailbox, _ = v.Canonical(mailbox)
	a, err := v.store.Get(ctx, mailbox)
	return a, withFix(err, mailbox)
}

// withFix says what to do about a mailbox that is not there.
func withFix(err error, mailbox string) error {
	if errors.Is(err, store.ErrNoMailbox) {
		return fmt.Errorf("%w; authferry mailbox list shows those there are, authferry connect %s adds this one", err, mailbox)
	}
	return err
}

// Connection is a new grant for a mailbox.
type Connection struct {
	Mailbox  string
	SignIn   string       // whose grant it is; empty: the mailbox's own
	Provider string       // a key of [Settings.Providers]
	Token    *oauth.Token // nil where the flow needs no person
	// Untried says that Token is a refresh token alone, taken over from another
	// program: the first login gets an access token for it.
	Untried bool
}

// Connect keeps a new grant for a mailbox, together with the passwords it has.
// Where the provider's flow needs no person there is no grant to keep, and
// c.Token may be nil: logins ask for a token when they need one.
func (v *Vault) Connect(ctx context.Context, c Connection) error {
	mailbox, _ := v.Canonical(c.Mailbox)
	if err := address.Check(mailbox); err != nil {
		return err
	}
	p := v.settings.Load().Providers[c.Provider]
	if p == nil {
		return fmt.Errorf("the provider %s is not configured: add a table [provider.%s]", printable.Quote(c.Provider), c.Provider)
	}
	untried := c.Untried && c.Token != nil && !c.Token.Refresh.Empty()
	if err := p.CheckGrant(c.Token); err != nil && !untried {
		return fmt.Errorf("connecting %s: %w", mailbox, err)
	}
	var t oauth.Token
	if c.Token != nil {
		t = *c.Token
	}
	signIn, _ := v.Canonical(c.SignIn)
	if signIn == mailbox {
		signIn = ""
	}
	err := v.store.Update(ctx, mailbox, func(a *store.Account) error {
		now := v.now().UTC().Round(0)
		if a.Created.IsZero() {
			a.Created = now
		}
		a.Provider, a.SignIn, a.Token, a.Connected = c.Provider, signIn, t, now
		a.Dead, a.Trouble = nil, nil
		return nil
	})
	if err != nil {
		return fmt.Errorf("connecting %s: %w", mailbox, err)
	}
	// All else that is remembered is about the old token.
	v.recall(mailbox, func(m *memory) { m.cooling = coolDown{} })
	v.log.Info("mailbox connected", zap.String("mailbox", mailbox), zap.String("provider", c.Provider))
	return nil
}

// AddPassword gives a mailbox one more local password and returns it. A name
// in use already is an error, as is a mailbox that is not connected; but one of
// [Settings.Domains] is enrolled by it.
func (v *Vault) AddPassword(ctx context.Context, mailbox string, spec PasswordSpec) (secret.String, error) {
	mailbox, _ = v.Canonical(mailbox)
	made, shown, err := newPassword(spec, v.now())
	if err != nil {
		return "", err
	}
	enrolled := false
	err = v.store.Update(ctx, mailbox, func(a *store.Account) error {
		if !a.Held() {
			if err := v.settings.Load().enrol(a, v.now()); err != nil {
				return err
			}
			enrolled = true
		}
		if passwordIndex(a, spec.Name) >= 0 {
			return fmt.Errorf("%s has a password named %q already: choose another name, or revoke that one first", mailbox, spec.Name)
		}
		a.Passwords = append(a.Passwords, made)
		return nil
	})
	if err != nil {
		return "", withFix(err, mailbox)
	}
	if enrolled {
		v.log.Info("mailbox enrolled", zap.String("mailbox", mailbox))
	}
	v.log.Info("password added", zap.String("mailbox", mailbox), zap.String("password", made.Name))
	return shown, nil
}

// RevokePassword forgets a local password by its name.
func (v *Vault) RevokePassword(ctx context.Context, mailbox, name string) error {
	mailbox, _ = v.Canonical(mailbox)
	err := v.store.Update(ctx, mailbox, func(a *store.Account) error {
		if !a.Held() {
			return fmt.Errorf("%w: %s", store.ErrNoMailbox, printable.Quote(mailbox))
		}
		i := passwordIndex(a, name)
		if i < 0 {
			return fmt.Errorf("%s has no password named %s: authferry password list %s shows those it has", mailbox, printable.Quote(name), mailbox)
		}
		a.Passwords = slices.Delete(a.Passwords, i, i+1)
		return nil
	})
	if err != nil {
		return withFix(err, mailbox)
	}
	v.log.Info("password revoked", zap.String("mailbox", mailbox), zap.String("password", name))
	return nil
}

// passwordIndex finds a password by its name, -1 if there is none. Names that
// differ in case only would be mistaken for each other.
func passwordIndex(a *store.Account, name string) int {
	return slices.IndexFunc(a.Passwords, func(p store.Password) bool { return strings.EqualFold(p.Name, name) })
}
