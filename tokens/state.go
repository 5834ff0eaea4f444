package tokens

import (
	"context"
	"time"

	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// State names what a mailbox's grant can do now.
func (v *Vault) State(a *store.Account) store.State {
	refreshing := false
	v.recall(a.Mailbox, func(m *memory) { refreshing = m.refreshing > 0 })
	ahead := oauth.DefaultRefreshAhead
	if p := v.settings.Load().Providers[a.Provider]; p != nil {
		ahead = p.Ahead()
	}
	switch {
	case a.Provider == "":
		return store.StateDisconnected
	case a.Dead != nil:
		return store.StateNeedsConsent
	case refreshing:
		return store.StateRefreshing
	case a.Trouble != nil:
		return store.StateUnreachable
	case a.Token.Stale(v.now(), ahead):
		return store.StateStale
	}
	return store.StateFresh
}

// Advice puts in words what keeps a mailbox's grant from being used, and what
// to do about it. ok is false where nothing does, or nobody knows more than
// [Failure.Reason] says.
func (v *Vault) Advice(a *store.Account) (advice oauth.Advice, ok bool) {
	p, err := v.settings.Load().provider(a)
	if err != nil {
		return oauth.AdviceOf(err)
	}
	f := a.Failure()
	if f == nil {
		return oauth.Advice{}, false
	}
	why := f.Cause
	if f == a.Dead {
		why = needsConsent(f, a.Mailbox, p).Cause
	}
	advice = why.Advice(a.Mailbox, p)
	return advice, advice.Words != ""
}

// NeedsPerson tells when somebody has to do something for a mailbox next: the
// zero time if nothing of the kind can be foreseen, a time in the past if it is
// due. certain is false for what may yet mend by itself, such as a client that
// the provider refuses. That a grant is unused for long is not foreseen: see
// [Vault.Tend].
func (v *Vault) NeedsPerson(a *store.Account) (at time.Time, certain bool) {
	switch {
	case a.Provider == "":
		return time.Time{}, false // as somebody wanted it
	case a.Dead != nil:
		return a.Dead.First(), true
	case a.Trouble != nil && a.Trouble.Cause.Lasts():
		return a.Trouble.First(), false
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
func (v *Vault) refreshNow(ctx context.Context, a *store.Account, p *oauth.Provider) (oauth.Token, error) {
	seen := a.Token.Access
	flight := v.refresh(a.Mailbox+" now "+seen.Reveal(), errand{a.Mailbox, a.Provider, p, true, func(t oauth.Token) bool { return t.Access == seen }})
	select {
	case r := <-flight:
		got, _ := r.Val.(minted)
		return got.token, r.Err
	case <-ctx.Done():
		return oauth.Token{}, leftWaiting(ctx, a.Mailbox)
	}
}
