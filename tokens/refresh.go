package tokens

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"
)

// lockTime bounds the wait for another process that refreshes the same mailbox.
const lockTime = RefreshTimeout + 10*time.Second

// minted is what a refresh came to.
type minted struct {
	token Token
	fresh bool // this refresh minted it; otherwise somebody else had
}

// errAsIs leaves an account as it is.
var errAsIs = errors.New("nothing to change")

// token brings an access token for a login: the cached one while it has enough
// life, else one that it waits for. fresh tells which.
func (v *Vault) token(ctx context.Context, p *Provider, a *Account) (t Token, fresh bool, err error) {
	cached, now := a.Token, v.now()
	var stale, refused bool
	var spare time.Duration // the life of a token that will do if there is no better
	var cooling error
	v.recall(a.Mailbox, func(m *memory) {
		if m.distrusted != cached.Access {
			spare = cached.left(now)
		}
		stale = m.unwritten != nil || spare <= 0 || cached.stale(now, p.refreshAhead())
		refused = m.refused.access == cached.Access && now.Before(m.refused.until)
		cooling = m.coolingError(cached, now)
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
func (v *Vault) await(ctx context.Context, p *Provider, a *Account, spare time.Duration) (Token, bool, error) {
	flight := v.refresh(a.Mailbox, a.Mailbox, a.Provider, p, func(t Token) bool {
		return t.stale(v.now(), p.refreshAhead()) || v.distrusts(a.Mailbox, t)
	})
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
		return Token{}, false, fmt.Errorf("%w: waiting for the token of %s: %w", ErrUnavailable, a.Mailbox, ctx.Err())
	}
}

func (v *Vault) distrusts(mailbox string, t Token) (yes bool) {
	v.recall(mailbox, func(m *memory) { yes = !t.Access.Empty() && m.distrusted == t.Access })
	return yes
}

// refresh replaces a mailbox's token if it is stale. Calls with one key at one
// time share one refresh, which no caller's context ends.
func (v *Vault) refresh(key, mailbox, name string, p *Provider, stale func(Token) bool) <-chan singleflight.Result {
	return v.flights.DoChan(key, func() (any, error) {
		if !v.begin() {
			return nil, fmt.Errorf("%w: shutting down", ErrUnavailable)
		}
		defer v.end()
		v.recall(mailbox, func(m *memory) { m.refreshing++ })
		defer v.recall(mailbox, func(m *memory) { m.refreshing-- })
		ctx, cancel := context.WithTimeout(context.Background(), lockTime)
		defer cancel()
		return v.refreshLocked(ctx, mailbox, name, p, stale)
	})
}

// refreshLocked is the refresh, inside the store's lock: whoever held it before
// may have refreshed already, so everything is looked at anew.
func (v *Vault) refreshLocked(ctx context.Context, mailbox, name string, p *Provider, stale func(Token) bool) (minted, error) {
	var got minted
	var failure error // is written down, so it is no error of the edit
	err := v.store.Update(ctx, mailbox, func(a *Account) error {
		if a.Provider != name {
			return fmt.Errorf("%s was removed or connected to another provider meanwhile", mailbox)
		}
		held := a.Token.Access
		taken := v.takeUnwritten(a)
		if !stale(a.Token) {
			got = minted{token: a.Token}
			return unless(taken)
		}
		if failure = v.leaveAlone(a); failure != nil {
			return unless(taken)
		}
		next, err := p.mint(ctx, a, v.now())
		if err != nil {
			failure = v.failed(a, err)
			return nil
		}
		v.recall(mailbox, func(m *memory) { m.unwritten = &unwrittenToken{next, held} })
		a.Token, a.Dead, a.Trouble = next, nil, nil
		got = minted{token: next, fresh: true}
		return nil
	})
	if err == nil {
		v.wrote(mailbox, got)
	} else if !errors.Is(err, errAsIs) && failure == nil {
		v.log.Error("the token of a mailbox could not be written down", zap.String("mailbox", mailbox), zap.Error(err))
		return minted{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return got, failure
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
func (v *Vault) takeUnwritten(a *Account) (taken bool) {
	v.recall(a.Mailbox, func(m *memory) {
		if m.unwritten == nil {
			return
		}
		if m.unwritten.insteadOf != a.Token.Access {
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
func (v *Vault) leaveAlone(a *Account) (err error) {
	now := v.now()
	if a.Dead != nil && !a.Dead.At.After(now) && now.Sub(a.Dead.At) < deadRetry {
		return needsConsent(a.Mailbox, a.Dead)
	}
	v.recall(a.Mailbox, func(m *memory) { err = m.coolingError(a.Token, now) })
	return err
}

// needsConsent is the error of a dead grant.
func needsConsent(mailbox string, dead *Failure) error {
	return fmt.Errorf("%w: %s; run: authferry connect %s", ErrNeedsConsent, dead.Reason, mailbox)
}

// failed writes a failed refresh into the account and makes it what logins
// hear until the next attempt.
func (v *Vault) failed(a *Account, err error) error {
	now := v.now()
	kind, wait := ErrUnavailable, time.Duration(0)
	if e := (*endpointError)(nil); errors.As(err, &e) {
		kind, wait = e.kind, e.retryAfter
	}
	log := v.log.With(zap.String("mailbox", a.Mailbox), zap.String("provider", a.Provider), zap.Error(err))
	if kind == ErrNeedsConsent {
		a.Dead = a.Dead.next(now, err)
		err = needsConsent(a.Mailbox, a.Dead)
		v.coolDown(a, deadRetry, err)
		log.Error("the mailbox must be connected again")
		return err
	}
	a.Trouble = a.Trouble.next(now, err)
	switch {
	case kind == ErrRefused:
		err = fmt.Errorf("%w to refresh the token of %s: %w", kind, a.Mailbox, err)
	case a.Dead != nil: // and that has not been taken back
		err = needsConsent(a.Mailbox, a.Dead)
	default:
		err = fmt.Errorf("%w: %w", kind, err)
	}
	v.coolDown(a, backOff(v.failures(a)+1, wait), err)
	log.Warn("token not refreshed")
	return err
}

// next is a failure after f, the first if f is nil.
func (f *Failure) next(now time.Time, err error) *Failure {
	n := &Failure{At: now.UTC().Round(0), Since: now.UTC().Round(0), Reason: err.Error(), Count: 1}
	if f != nil {
		n.Count = f.Count + 1
		if !f.Since.IsZero() {
			n.Since = f.Since
		}
	}
	return n
}

func (v *Vault) failures(a *Account) (n int) {
	v.recall(a.Mailbox, func(m *memory) {
		if m.cooling.refresh == a.Token.Refresh {
			n = m.cooling.failures
		}
	})
	return n
}

func (v *Vault) coolDown(a *Account, wait time.Duration, err error) {
	n := v.failures(a) + 1
	v.recall(a.Mailbox, func(m *memory) {
		m.cooling = coolDown{refresh: a.Token.Refresh, failures: n, until: v.now().Add(wait), err: err}
	})
}
