package tokens

import (
	"context"
	"time"
)

// State names what a mailbox's grant can do now.
func (v *Vault) State(a *Account) State {
	refreshing := false
	v.recall(a.Mailbox, func(m *memory) { refreshing = m.refreshing > 0 })
	ahead := DefaultRefreshAhead
	if p := v.settings.Load().Providers[a.Provider]; p != nil {
		ahead = p.refreshAhead()
	}
	switch {
	case a.Provider == "":
		return StateDisconnected
	case a.Dead != nil:
		return StateNeedsConsent
	case refreshing:
		return StateRefreshing
	case a.Trouble != nil:
		return StateUnreachable
	case a.Token.stale(v.now(), ahead):
		return StateStale
	}
	return StateFresh
}

// Advice puts in words what keeps a mailbox's grant from being used, and what
// to do about it. ok is false where nothing does, or nobody knows more than
// [Failure.Reason] says.
func (v *Vault) Advice(a *Account) (advice Advice, ok bool) {
	p, err := v.settings.Load().provider(a)
	if err != nil {
		return AdviceOf(err)
	}
	f := a.Failure()
	if f == nil {
		return Advice{}, false
	}
	why := f.Cause
	if f == a.Dead {
		why = needsConsent(f, a.Mailbox, p).why
	}
	advice = why.Advice(a.Mailbox, p)
	return advice, advice.Words != ""
}

// NeedsPerson tells when somebody has to do something for a mailbox next: the
// zero time if nothing of the kind can be foreseen, a time in the past if it is
// due. certain is false for what may yet mend by itself, such as a client that
// the provider refuses. That a grant is unused for long is not foreseen: see
// [Vault.Tend].
func (v *Vault) NeedsPerson(a *Account) (at time.Time, certain bool) {
	switch {
	case a.Provider == "":
		return time.Time{}, false // as somebody wanted it
	case a.Dead != nil:
		return a.Dead.first(), true
	case a.Trouble != nil && a.Trouble.Cause.lasts():
		return a.Trouble.first(), false
	}
	return a.Token.RefreshExpiry, !a.Token.RefreshExpiry.IsZero()
}

// Refresh gets a new access token for a mailbox now, for somebody who asks, and
// returns what a login would have got. It heeds no back-off but the one a
// provider asked for: a person who has mended something wants to know.
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
	t, err := v.refreshNow(ctx, a, p)
	if err != nil {
		return nil, err
	}
	return &Grant{Mailbox: mailbox, User: user, Provider: p, AccessToken: t.Access, Minted: true, Expiry: t.Expiry}, nil
}

// refreshNow replaces the token of an account, whatever its age.
func (v *Vault) refreshNow(ctx context.Context, a *Account, p *Provider) (Token, error) {
	seen := a.Token.Access
	flight := v.refresh(a.Mailbox+" now "+seen.Reveal(), errand{a.Mailbox, a.Provider, p, true, func(t Token) bool { return t.Access == seen }})
	select {
	case r := <-flight:
		got, _ := r.Val.(minted)
		return got.token, r.Err
	case <-ctx.Done():
		return Token{}, leftWaiting(ctx, a.Mailbox)
	}
}
