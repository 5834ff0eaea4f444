package tokens

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"

	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// lockTime, and the time that a refresh may take, bound the wait for another
// process that refreshes the same mailbox. The refresh itself has its own time.
const lockTime = 10 * time.Second

const (
	// leastLife is how much life a cached token must have to serve a login
	// when no better one can be had.
	leastLife = time.Minute
	// patientLife is how much of it lets a login go on without waiting long
	// for a refresh under way; patience is how long.
	patientLife = 5 * time.Minute
	patience    = 5 * time.Second
)

// minted is what a refresh came to.
type minted struct {
	token oauth.Token
	fresh bool // this refresh minted it; otherwise somebody else had
}

// errAsIs leaves an account as it is.
var errAsIs = errors.New("nothing to change")

// token brings an access token for a login: the cached one while it has enough
// life, else one that it waits for. fresh tells which.
func (v *Vault) token(ctx context.Context, p *oauth.Provider, a *store.Account) (t oauth.Token, fresh bool, err error) {
	cached, now := a.Token, v.now()
	var stale, refused bool
	var spare time.Duration // the life of a token that will do if there is no better
	var cooling error
	v.recall(a.Mailbox, func(m *memory) {
		if m.distrusted != cached.Access {
			spare = cached.Left(now)
		}
		stale = m.unwritten != nil || spare <= 0 || cached.Stale(now, p.Ahead())
		refused = m.refused.access == cached.Access && m.refused.wait.holds(now)
		cooling = m.coolingError(a, now)
		if m.unwritten != nil {
			cooling = nil // the store is to be tried, not the endpoint
		}
	})
	if !stale {
		return cached, refused, nil
	}
	if cooling == nil {
		t, fresh, err = v.await(ctx, p, a, spare)
	} else {
		err = cooling
	}
	if err != nil && ctx.Err() == nil && spare-v.now().Sub(now) >= leastLife {
		return cached, false, nil
	}
	return t, fresh, err
}

// await refreshes, or joins the refresh under way, and waits for it: not long
// if the cached token, with spare life left, would do.
func (v *Vault) await(ctx context.Context, p *oauth.Provider, a *store.Account, spare time.Duration) (oauth.Token, bool, error) {
	flight := v.refresh(a.Mailbox, errand{a.Mailbox, a.Provider, p, false, func(t oauth.Token) bool {
		return t.Stale(v.now(), p.Ahead()) || v.distrusts(a.Mailbox, t)
	}})
	var enough <-chan time.Time
	if spare >= patientLife {
		timer := time.NewTimer(v.patience)
		defer timer.Stop()
		enough = timer.C
	}
	select {
	case r := <-flight:
		got, _ := r.Val.(minted)
		return got.token, got.fresh, r.Err
	case <-enough:
		return a.Token, false, nil
	case <-ctx.Done():
		return oauth.Token{}, false, leftWaiting(ctx, a.Mailbox)
	}
}

// leftWaiting is the error of who did not wait for a refresh to end.
func leftWaiting(ctx context.Context, mailbox string) error {
	return fmt.Errorf("%w: waiting for the token of %s: %w", oauth.ErrUnavailable, mailbox, ctx.Err())
}

func (v *Vault) distrusts(mailbox string, t oauth.Token) (yes bool) {
	v.recall(mailbox, func(m *memory) { yes = !t.Access.Empty() && m.distrusted == t.Access })
	return yes
}

// errand is a refresh that somebody wants.
type errand struct {
	mailbox  string
	name     string // of the provider, as the account has it
	provider *oauth.Provider
	asked    bool // by a person, who does not want to hear of the last failure
	stale    func(oauth.Token) bool
}

// refresh replaces a mailbox's token if it is stale. Calls with one key at one
// time share one refresh, which no caller's context ends.
func (v *Vault) refresh(key string, e errand) <-chan singleflight.Result {
	return v.flights.DoChan(key, func() (any, error) {
		if !v.begin() {
			return nil, fmt.Errorf("%w: shutting down", oauth.ErrUnavailable)
		}
		defer v.end()
		v.recall(e.mailbox, func(m *memory) { m.refreshing++ })
		defer v.recall(e.mailbox, func(m *memory) { m.refreshing-- })
		ctx, cancel := context.WithTimeout(context.Background(), lockTime+e.provider.CallTimeout())
		defer cancel()
		return v.refreshLocked(ctx, e)
	})
}

// refreshLocked is the refresh, inside the store's lock: whoever held it before
// may have refreshed already, so everything is looked at anew.
func (v *Vault) refreshLocked(ctx context.Context, e errand) (minted, error) {
	var got minted
	var failure error // is written down, so it is no error of the edit
	err := v.store.Update(ctx, e.mailbox, func(a *store.Account) error {
		if a.Provider != e.name {
			return fmt.Errorf("%s was removed or connected to another provider meanwhile", e.mailbox)
		}
		held := a.Token.Access
		taken := v.takeUnwritten(a)
		if !e.stale(a.Token) {
			got = minted{token: a.Token}
			return unless(taken)
		}
		if failure = v.leaveAlone(a, e); failure != nil {
			return unless(taken)
		}
		next, err := v.mint(ctx, e.provider, a)
		v.refreshes.note(e.provider, err)
		if err != nil {
			failure = v.failed(a, e.provider, err)
			return nil
		}
		v.recall(e.mailbox, func(m *memory) { m.unwritten = &unwrittenToken{next, held, e.name} })
		a.Token, a.Dead, a.Trouble = next, nil, nil
		got = minted{token: next, fresh: true}
		return nil
	})
	if err == nil {
		v.wrote(e.mailbox, got)
	} else if !errors.Is(err, errAsIs) && failure == nil {
		v.log.Error("the token of a mailbox could not be written down", zap.String("mailbox", e.mailbox), zap.Error(err))
		return minted{}, fmt.Errorf("%w: %w", oauth.ErrUnavailable, err)
	}
	return got, failure
}

// mint asks for a token with the time of its own that a request has: one cut off
// because the lock took long may have replaced the refresh token already, and
// nobody would have read which is good now.
func (v *Vault) mint(ctx context.Context, p *oauth.Provider, a *store.Account) (oauth.Token, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.CallTimeout())
	defer cancel()
	return p.Refresh(ctx, a.Token, cmp.Or(a.SignIn, a.Mailbox), v.now())
}

// unless is the end of an edit that changed the account, or did not.
func unless(changed bool) error {
	if changed {
		return nil
	}
	return errAsIs
}

// takeUnwritten gives an account the token that the store did not take the
// last time, and tells whether there was one.
func (v *Vault) takeUnwritten(a *store.Account) (taken bool) {
	v.recall(a.Mailbox, func(m *memory) {
		if m.unwritten == nil {
			return
		}
		if m.unwritten.insteadOf != a.Token.Access || m.unwritten.provider != a.Provider {
			m.unwritten = nil
			return
		}
		a.Token, a.Dead, a.Trouble = m.unwritten.token, nil, nil
		taken = true
	})
	return taken
}

// wrote notes that the store took what it was given.
func (v *Vault) wrote(mailbox string, got minted) {
	v.recall(mailbox, func(m *memory) {
		m.unwritten = nil
		if got.fresh {
			m.cooling, m.distrusted = coolDown{}, ""
		}
	})
	if got.fresh {
		v.log.Info("token refreshed", zap.String("mailbox", mailbox), zap.Time("expiry", got.token.Expiry))
	}
}

// leaveAlone is why the endpoint is not to be asked now, nil if it is. A dead
// grant's times come from the store, so that they hold for every process.
func (v *Vault) leaveAlone(a *store.Account, e errand) (err error) {
	now := v.now()
	if a.Dead != nil && !e.asked && (span{a.Dead.At, deadRetry}).holds(now) {
		return needsConsent(a.Dead, a.Mailbox, e.provider)
	}
	v.recall(a.Mailbox, func(m *memory) {
		if !e.asked || m.cooling.ordered {
			err = m.coolingError(a, now)
		}
	})
	return err
}

// needsConsent is the error of a dead grant.
func needsConsent(f *store.Failure, mailbox string, p *oauth.Provider) *oauth.Error {
	why := f.Cause
	if why == oauth.CauseUnknown { // written by a version that knew no causes
		why = oauth.CauseRevoked
	}
	return oauth.NewError(oauth.ErrNeedsConsent, mailbox, p, why, f.Reason)
}

// failed writes a failed refresh into the account and makes it what logins
// hear until the next attempt.
func (v *Vault) failed(a *store.Account, p *oauth.Provider, err error) error {
	now := v.now()
	kind, why := oauth.ErrUnavailable, oauth.CauseUnknown
	var e oauth.EndpointError
	if p := (*oauth.EndpointError)(nil); errors.As(err, &p) {
		e = *p
	}
	if e.Kind != nil {
		why, kind = p.Diagnose(a.Token, a.Connected, &e, now)
	}
	heard := oauth.NewError(kind, a.Mailbox, p, why, err.Error())
	log := v.log.With(zap.String("mailbox", a.Mailbox), zap.String("provider", a.Provider),
		zap.String("cause", string(why)), zap.Error(err), zap.String("fix", heard.Advice.Fix))
	if kind == oauth.ErrNeedsConsent {
		a.Dead = a.Dead.Next(now, err, why)
		v.coolDown(a, deadRetry, heard)
		log.Error("the mailbox must be connected again", zap.Int("times", a.Dead.Count))
		return heard
	}
	a.Trouble = a.Trouble.Next(now, err, why)
	switch {
	case kind == oauth.ErrRefused:
		heard.Reason = fmt.Sprintf("no token for %s: %v", a.Mailbox, err)
		err = heard
	case a.Dead != nil: // and that has not been taken back
		err = needsConsent(a.Dead, a.Mailbox, p)
	default:
		heard.Err = err
		err = heard
	}
	v.coolDown(a, backOff(v.failures(a)+1, e.RetryAfter), err)
	v.recall(a.Mailbox, func(m *memory) { m.cooling.ordered = e.RetryAfter > 0 })
	log.Warn("token not refreshed")
	return err
}

func (v *Vault) failures(a *store.Account) (n int) {
	v.recall(a.Mailbox, func(m *memory) {
		if m.cooling.grant == grantIDOf(a) {
			n = m.cooling.failures
		}
	})
	return n
}

func (v *Vault) coolDown(a *store.Account, wait time.Duration, err error) {
	n := v.failures(a) + 1
	v.recall(a.Mailbox, func(m *memory) {
		m.cooling = coolDown{grant: grantIDOf(a), failures: n, wait: span{v.now(), wait}, err: err}
	})
}
