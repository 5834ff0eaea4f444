package tokens

import (
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

const (
	// keepAliveTick is how often the clock is read. A timer for hours would stand
	// still while the machine sleeps, and miss a clock that is set.
	keepAliveTick = 30 * time.Second
	// keepAliveEvery is how often all mailboxes are checked.
	keepAliveEvery = 10 * time.Minute
	// keepAliveDead is how often a dead grant is tried again without a login:
	// providers have reversed such answers.
	keepAliveDead = 12 * time.Hour
	// keepAliveTrouble is how long after another failure only logins try again.
	keepAliveTrouble = time.Hour
	// keepAlivePause is the longest pause between two refreshes at one provider.
	keepAlivePause = 2 * time.Second
)

// keepAlive refreshes grants that no login uses; see [Vault.KeepAlive].
type keepAlive struct {
	store     store.Store
	settings  *atomic.Pointer[Settings]
	refresher *refresher
	log       *zap.Logger
	now       func() time.Time
	pause     time.Duration
}

// run checks all mailboxes in intervals until ctx is done.
func (k *keepAlive) run(ctx context.Context) {
	ticks := time.NewTicker(keepAliveTick)
	defer ticks.Stop()
	var checked window
	for {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
		if now := k.now(); !checked.contains(now) {
			checked = window{now, keepAliveEvery}
			k.checkAll(ctx)
		}
	}
}

// checkAll checks every mailbox once. Providers do not wait for each other; the
// mailboxes of one provider are refreshed one after the other, so that the end of
// a long absence does not become a flood of calls.
func (k *keepAlive) checkAll(ctx context.Context) {
	mailboxes, err := k.store.Mailboxes(ctx)
	if err != nil {
		k.log.Warn("the mailboxes could not be checked for unused grants", zap.Error(err))
		return
	}
	due := map[*oauth.Provider][]*store.Account{}
	settings, now := k.settings.Load(), k.now()
	for _, mailbox := range mailboxes {
		a, err := k.store.Get(ctx, mailbox)
		if err != nil {
			if !errors.Is(err, store.ErrNoMailbox) && ctx.Err() == nil {
				k.log.Warn("a mailbox could not be checked for an unused grant", zap.String("mailbox", mailbox), zap.Error(err))
			}
			continue
		}
		if p := settings.Providers[a.Provider]; p != nil && keepAliveDue(p, a, now) {
			due[p] = append(due[p], a)
		}
	}
	var all sync.WaitGroup
	for p, accounts := range due {
		all.Go(func() { k.refresh(ctx, p, accounts) })
	}
	all.Wait()
}

func (k *keepAlive) refresh(ctx context.Context, p *oauth.Provider, accounts []*store.Account) {
	for _, a := range accounts {
		select {
		case <-time.After(rand.N(k.pause + 1)):
		case <-ctx.Done():
			return
		}
		// A failure has been logged, and counts for this mailbox alone.
		_ = k.refresher.refreshUnused(ctx, p, a)
		if ctx.Err() != nil {
			return
		}
	}
}

// keepAliveDue reports whether a grant should be refreshed although no login
// needs a token.
func keepAliveDue(p *oauth.Provider, a *store.Account, now time.Time) bool {
	recent := func(f *store.Failure, length time.Duration) bool {
		return f != nil && (window{f.At, length}).contains(now)
	}
	switch {
	case !p.Flow.NeedsPerson() || a.Token.Refresh.Empty():
		return false
	case recent(a.Dead, keepAliveDead) || recent(a.Trouble, keepAliveTrouble):
		return false
	case a.Dead != nil:
		return true
	}
	// A use in the future says that the clock was wrong, so the grant is due.
	unused := now.Round(0).Sub(a.Token.Minted)
	return unused < -oauth.ClockSkew || unused >= keepAliveAfter(p, a.Mailbox)
}

// keepAliveAfter returns how long the grant of a mailbox may stay unused: up to a
// tenth less than the provider's time, so that mailboxes connected in one
// afternoon do not fall due in step, and always the same for one mailbox.
func keepAliveAfter(p *oauth.Provider, mailbox string) time.Duration {
	longest := p.KeepAlive
	if longest <= 0 {
		longest = oauth.DefaultKeepAlive
	}
	h := fnv.New32a()
	h.Write([]byte(mailbox))
	return longest - time.Duration(h.Sum32()%1000)*(longest/10000)
}
