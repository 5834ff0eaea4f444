package tokens

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"authferry/internal/address"
	"authferry/internal/printable"
	"authferry/internal/secret"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// Mailboxes lists the addresses in alphabetical order.
func (v *Vault) Mailboxes(ctx context.Context) ([]string, error) { return v.store.Mailboxes(ctx) }

// Account returns what the store has of a mailbox, by any name that a program may
// use for it. The result is shared: do not change it.
func (v *Vault) Account(ctx context.Context, mailbox string) (*store.Account, error) {
	mailbox, _ = v.Canonical(mailbox)
	a, err := v.store.Get(ctx, mailbox)
	return a, withFix(err, mailbox)
}

func noMailbox(mailbox string) error {
	return fmt.Errorf("%w: %s", store.ErrNoMailbox, printable.Quote(mailbox))
}

// withFix says what to do about a mailbox that does not exist.
func withFix(err error, mailbox string) error {
	if errors.Is(err, store.ErrNoMailbox) {
		return fmt.Errorf("%w; authferry mailbox list shows the mailboxes, authferry connect %s adds this one", err, mailbox)
	}
	return err
}

// State returns the state of a mailbox's grant.
func (v *Vault) State(a *store.Account) store.State {
	ahead := oauth.DefaultRefreshAhead
	if p := v.settings.Load().Providers[a.Provider]; p != nil {
		ahead = p.Ahead()
	}
	return v.refresher.stateOf(a, ahead)
}

// Advice returns in words why a mailbox's grant cannot be used, and what to do
// about it. ok is false if it can be used, or if [store.Failure.Reason] is all
// that is known.
func (v *Vault) Advice(a *store.Account) (advice oauth.Advice, ok bool) {
	p, err := v.settings.Load().provider(a)
	if err != nil {
		return oauth.AdviceOf(err)
	}
	f := a.Failure()
	if f == nil {
		return oauth.Advice{}, false
	}
	cause := f.Cause
	if f == a.Dead {
		cause = needsConsent(f, a.Mailbox, p).Cause
	}
	advice = cause.Advice(a.Mailbox, p)
	return advice, advice.Words != ""
}

// NeedsPerson returns when a mailbox needs a person next: the zero time if that
// cannot be foreseen, a time in the past if it is due. certain is false for what
// the provider may still repair, such as a client that it refuses. It does not
// foresee that a grant stays unused for too long: see [Vault.KeepAlive].
func (v *Vault) NeedsPerson(a *store.Account) (at time.Time, certain bool) {
	switch {
	case a.Provider == "":
		return time.Time{}, false // removed on purpose
	case a.Dead != nil:
		return a.Dead.First(), true
	case a.Trouble != nil && a.Trouble.Cause.Lasts():
		return a.Trouble.First(), false
	}
	return a.Token.RefreshExpiry, !a.Token.RefreshExpiry.IsZero()
}

// Connection is a new grant for a mailbox.
type Connection struct {
	Mailbox  string
	SignIn   string       // who signed in; empty: the owner of the mailbox
	Provider string       // a key of [Settings.Providers]
	Token    *oauth.Token // nil where the flow needs no person
	// Untried reports that Token is only a refresh token, taken over from another
	// program: the first login gets an access token with it.
	Untried bool
}

// Connect writes a new grant of a mailbox, which keeps the passwords it has. A
// provider whose flow needs no person has no grant to keep: c.Token may be nil,
// and logins get a token when they need one.
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
	v.refresher.connected(mailbox)
	v.log.Info("mailbox connected", zap.String("mailbox", mailbox), zap.String("provider", c.Provider))
	return nil
}

// Refresh gets a new access token for a mailbox now, for a person, and returns
// what a login would have got. It respects no back-off but the one that the
// provider asked for: a person who has repaired something wants to see the result.
func (v *Vault) Refresh(ctx context.Context, mailbox string) (*Grant, error) {
	mailbox, user := v.Canonical(mailbox)
	a, err := v.store.Get(ctx, mailbox)
	if err != nil {
		return nil, withFix(err, mailbox)
	}
	p, err := v.settings.Load().provider(a)
	if err != nil {
		return nil, err
	}
	t, err := v.refresher.refreshNow(ctx, p, a)
	if err != nil {
		return nil, err
	}
	return &Grant{Mailbox: mailbox, User: user, Provider: p, AccessToken: t.Access, Minted: true, Expiry: t.Expiry}, nil
}

// AddPassword adds a local password to a mailbox and returns it. A name in use is
// an error, and so is a mailbox that is not connected, unless its domain is one of
// [Settings.Domains]: then AddPassword enrols it.
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
			return fmt.Errorf("%s already has a password named %q: choose another name, or revoke that one first", mailbox, spec.Name)
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

// RevokePassword removes a local password by its name.
func (v *Vault) RevokePassword(ctx context.Context, mailbox, name string) error {
	mailbox, _ = v.Canonical(mailbox)
	err := v.store.Update(ctx, mailbox, func(a *store.Account) error {
		if !a.Held() {
			return noMailbox(mailbox)
		}
		i := passwordIndex(a, name)
		if i < 0 {
			return fmt.Errorf("%s has no password named %s: authferry password list %s shows them", mailbox, printable.Quote(name), mailbox)
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

// Remove removes a mailbox with its grant and passwords, and revokes the grant at
// the provider unless another mailbox uses it. The mailbox is removed even if the
// provider cannot be reached: [Removed.Left] says so.
//
// The grant is revoked first, inside the store's lock: no refresh runs meanwhile,
// and after a crash in between the mailbox is still listed and can be removed
// again. In the other order a crash would leave a grant that is listed nowhere.
func (v *Vault) Remove(ctx context.Context, mailbox string, r Removal) (*Removed, error) {
	mailbox, _ = v.Canonical(mailbox)
	out, read := &Removed{Mailbox: mailbox}, false
	err := v.store.Update(ctx, mailbox, func(a *store.Account) error {
		if !a.Held() {
			return noMailbox(mailbox)
		}
		read = true
		if !r.KeepGrant {
			v.refresher.applyUnsaved(a)
			out.revoke(ctx, v.store, v.settings.Load(), a)
		}
		if !r.KeepPasswords || len(a.Passwords) == 0 {
			return store.ErrDelete // under this lock: a caller that waits for it may be about to connect the mailbox again
		}
		*a = store.Account{Mailbox: mailbox, Passwords: a.Passwords, Created: a.Created}
		out.Passwords = len(a.Passwords)
		return nil
	})
	// An account that cannot be read can be removed as well.
	damaged := err != nil && !read && !errors.Is(err, store.ErrNoMailbox) && ctx.Err() == nil
	if damaged && !r.KeepGrant && !r.KeepPasswords {
		out.Left = fmt.Errorf("reading the grant: %w", err)
	}
	if damaged && !r.KeepPasswords {
		err = v.store.Delete(ctx, mailbox)
	}
	if err != nil && out.Revoked {
		err = fmt.Errorf("the provider revoked the grant of %s, but the mailbox could not be removed here: %w; remove it again", mailbox, err)
	}
	if err != nil {
		return nil, withFix(err, mailbox)
	}
	v.refresher.removed(mailbox)
	v.log.Info("mailbox removed", zap.String("mailbox", mailbox), zap.Bool("revoked", out.Revoked), zap.NamedError("left", out.Left))
	return out, nil
}

// passwordIndex returns the index of a password by its name, -1 if there is none.
// It ignores case, since people confuse names that differ in case only.
func passwordIndex(a *store.Account, name string) int {
	return slices.IndexFunc(a.Passwords, func(p store.Password) bool { return strings.EqualFold(p.Name, name) })
}

// LastUses calls report with the last use of each password. Call it at start: it
// also tells the vault how many chosen passwords a mailbox has at most, which the
// duration of refusals must not reveal.
func (v *Vault) LastUses(ctx context.Context, report func(mailbox string, u store.Use)) error {
	mailboxes, err := v.store.Mailboxes(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, mailbox := range mailboxes {
		if err := ctx.Err(); err != nil {
			return err
		}
		a, err := v.store.Get(ctx, mailbox)
		if errors.Is(err, store.ErrNoMailbox) { // removed since Mailboxes
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		v.verifier.seen(a)
		for _, p := range a.Passwords {
			if !p.LastUsed.At.IsZero() {
				report(mailbox, p.LastUsed)
			}
		}
	}
	return errors.Join(errs...)
}

// Refreshes returns the refreshes of this process so far, in no order. A provider
// that has not been called is not in it.
func (v *Vault) Refreshes() []Refreshes { return v.refresher.counter.list() }

// Usable reports whether the store can be read and written now: a refreshed token
// that cannot be written may be lost.
func (v *Vault) Usable(ctx context.Context) error { return v.store.Usable(ctx) }

// Document returns a document of the store; see [store.Store].
func (v *Vault) Document(ctx context.Context, name string) ([]byte, error) {
	return v.store.Document(ctx, name)
}

// UpdateDocument edits a document of the store under its lock; see [store.Store].
func (v *Vault) UpdateDocument(ctx context.Context, name string, edit func(old []byte) ([]byte, error)) error {
	return v.store.UpdateDocument(ctx, name, edit)
}

// Refreshes counts the calls of one provider's token endpoint with one result.
type Refreshes struct {
	Provider string
	Result   string // "ok", the [oauth.Cause] of the failure, or "unknown"
	Count    int64
}

// refreshCounter counts calls of token endpoints. The zero value is ready.
type refreshCounter struct {
	mu    sync.Mutex
	count map[Refreshes]int64 // by Refreshes without a Count
}

func (c *refreshCounter) note(p *oauth.Provider, err error) {
	r := Refreshes{Provider: p.Name, Result: "ok"}
	if err != nil {
		r.Result = cmp.Or(string(oauth.CauseOf(err)), "unknown")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count == nil {
		c.count = map[Refreshes]int64{}
	}
	c.count[r]++
}

func (c *refreshCounter) list() (list []Refreshes) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for r, n := range c.count {
		r.Count = n
		list = append(list, r)
	}
	return list
}
