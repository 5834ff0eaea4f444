package tokens

import (
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"

	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

const (
	// tendTick is how often the clock is looked at. A timer for hours would
	// stand still while the machine sleeps, and know nothing of a clock that
	// was set.
	tendTick = 30 * time.Second
	// tendEvery is how often all mailboxes are looked at.
	tendEvery = 10 * time.Minute
	// tendDead is how often a dead grant is tried again though nobody logs in:
	// providers have taken such answers back.
	tendDead = 12 * time.Hour
	// tendTrouble is how long after a failure nobody but a login tries again.
	tendTrouble = time.Hour
	// tendPause comes between two refreshes at one provider, at most.
	tendPause = 2 * time.Second
)

// Tend keeps grants alive until ctx is done: providers drop those that nobody
// used for months (see [Provider.KeepAlive]), and a mailbox that is only there
// in case of need would be lost just then. Any number of processes may tend one
// store: whoever comes second finds the work done.
func (v *Vault) Tend(ctx context.Context) {
	ticks := time.NewTicker(tendTick)
	defer ticks.Stop()
	var round span
	for {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
		if now := v.now(); !round.holds(now) {
			round = span{now, tendEvery}
			v.tendAll(ctx)
		}
	}
}

// tendAll looks at every mailbox once. Providers do not wait for each other;
// the mailboxes of one do, so that a long absence does not end in a flood.
func (v *Vault) tendAll(ctx context.Context) {
	mailboxes, err := v.store.Mailboxes(ctx)
	if err != nil {
		v.log.Warn("the mailboxes could not be looked after", zap.Error(err))
		return
	}
	due := map[*oauth.Provider][]*store.Account{}
	settings, now := v.settings.Load(), v.now()
	for _, mailbox := range mailboxes {
		a, err := v.store.Get(ctx, mailbox)
		if err != nil {
			if !errors.Is(err, store.ErrNoMailbox) && ctx.Err() == nil {
				v.log.Warn("a mailbox could not be looked after", zap.String("mailbox", mailbox), zap.Error(err))
			}
			continue
		}
		if p := settings.Providers[a.Provider]; p != nil && keepAliveDue(p, a, now) {
			due[p] = append(due[p], a)
		}
	}
	var all sync.WaitGroup
	for p, accounts := range due {
		all.Go(func() { v.tendThese(ctx, p, accounts) })
	}
	all.Wait()
}

// tendThese refreshes mailboxes of one provider, one after the other.
func (v *Vault) tendThese(ctx context.Context, p *oauth.Provider, accounts []*store.Account) {
	for _, a := range accounts {
		select {
		case <-time.After(rand.N(v.tendPause + 1)):
		case <-ctx.Done():
			return
		}
		seen := a.Token
		flight := v.refresh(a.Mailbox+" tend", errand{a.Mailbox, a.Provider, p, false, func(t oauth.Token) bool {
			return t.Access == seen.Access && t.Refresh == seen.Refresh
		}})
		select {
		case <-flight: // failed has logged what there is to say
		case <-ctx.Done():
			return
		}
	}
}

// keepAliveDue tells whether a grant should be refreshed for its own sake.
func keepAliveDue(p *oauth.Provider, a *store.Account, now time.Time) bool {
	lately := func(f *store.Failure, length time.Duration) bool { return f != nil && (span{f.At, length}).holds(now) }
	switch {
	case !p.Flow.NeedsPerson() || a.Token.Refresh.Empty():
		return false
	case lately(a.Dead, tendDead) || lately(a.Trouble, tendTrouble):
		return false
	case a.Dead != nil:
		return true
	}
	// One that was used in the future was used nobody knows when.
	unused := now.Round(0).Sub(a.Token.Minted)
	return unused < -oauth.ClockSkew || unused >= keepAlive(p, a.Mailbox)
}

// keepAlive is how long the grant of a mailbox may go unused: up to a tenth
// less than the provider's time, so that mailboxes connected in one afternoon
// do not come back in step, and always the same, so that each look agrees.
func keepAlive(p *oauth.Provider, mailbox string) time.Duration {
	most := p.KeepAlive
	if most <= 0 {
		most = oauth.DefaultKeepAlive
	}
	h := fnv.New32a()
	h.Write([]byte(mailbox))
	return most - time.Duration(h.Sum32()%1000)*(most/10000)
}
