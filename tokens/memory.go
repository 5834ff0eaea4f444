package tokens

import (
	"math/rand/v2"
	"time"

	"authferry/internal/secret"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

const (
	// The back-off after a refresh that failed: doubling, with jitter so that
	// the mailboxes of one provider do not return in step.
	leastBackOff = time.Second
	mostBackOff  = 5 * time.Minute
	// deadRetry is how often a dead grant is tried again when somebody logs
	// in: providers have taken such answers back.
	deadRetry = 5 * time.Minute
	// The back-off after a provider refused a token just minted.
	leastRefused = 30 * time.Second
	mostRefused  = 10 * time.Minute
)

// memory is what this process knows of a mailbox's token beyond the store.
// Everything in it is about a certain token, so that a token the command line
// brings is not held to the failures of its predecessor. Guarded by Vault.mu.
type memory struct {
	// unwritten is a refreshed token that the store did not take.
	unwritten *unwrittenToken
	// refreshing counts the refreshes under way.
	refreshing int

	cooling coolDown
	refused refusal
	// distrusted is a cached access token that the provider refused while it
	// should have been good.
	distrusted secret.String
}

// unwrittenToken is a token that exists nowhere but here.
type unwrittenToken struct {
	token oauth.Token
	// insteadOf is what the store holds. Should it hold something else one
	// day, that is newer.
	insteadOf secret.String
	provider  string
}

// coolDown keeps the token endpoint from being asked at every login.
type coolDown struct {
	grant    grantID // the one that failed
	failures int
	wait     span
	ordered  bool  // by the provider
	err      error // what logins hear meanwhile
}

// grantID tells one grant of a mailbox from the next. Those of flows without a
// person have no refresh token to tell them by.
type grantID struct {
	provider  string
	refresh   secret.String
	connected int64
}

func grantIDOf(a *store.Account) grantID {
	return grantID{a.Provider, a.Token.Refresh, a.Connected.UnixNano()}
}

// refusal remembers a provider that refused even a token just minted.
type refusal struct {
	access secret.String
	wait   span
}

// span is a while that something is left alone for.
type span struct {
	from   time.Time
	length time.Duration
}

// holds tells whether a span is still going on. Two clocks are asked, since
// either may be wrong: the monotonic one stands still while the machine sleeps,
// and the wall clock may be set. A wall clock that is behind the beginning
// proves that it was, so that nothing is left alone for longer than was meant.
func (s span) holds(now time.Time) bool {
	passed := now.Round(0).Sub(s.from.Round(0))
	return passed >= 0 && passed < s.length && now.Sub(s.from) < s.length
}

// backOff is the wait after so many failures in a row.
func backOff(failures int, retryAfter time.Duration) time.Duration {
	wait := mostBackOff
	if failures < 10 {
		wait = min(mostBackOff, leastBackOff<<max(failures-1, 0))
	}
	wait -= rand.N(wait / 4)
	return max(wait, retryAfter)
}

// recall calls f with what is remembered of a mailbox.
func (v *Vault) recall(mailbox string, f func(*memory)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	m := v.memories[mailbox]
	if m == nil {
		m = &memory{}
		v.memories[mailbox] = m
	}
	f(m)
}

// forget drops what is remembered of a mailbox that is gone.
func (v *Vault) forget(mailbox string) {
	v.recall(mailbox, func(m *memory) { *m = memory{refreshing: m.refreshing} })
}

// coolingError is what a login hears while the endpoint is left alone, nil if
// it may be asked.
func (m *memory) coolingError(a *store.Account, now time.Time) error {
	if m.cooling.grant != grantIDOf(a) || !m.cooling.wait.holds(now) {
		return nil
	}
	return m.cooling.err
}

// Refused notes that the provider refused even a token just minted, so that
// logins do not force a refresh each for as long as that lasts: they get the
// cached token as if it had been minted for them. The time doubles while it
// goes on, and a new token is tried at once.
func (v *Vault) Refused(g *Grant) {
	now := v.now()
	v.recall(g.Mailbox, func(m *memory) {
		r, delay := &m.refused, leastRefused
		lately := span{r.wait.from, r.wait.length + 2*mostRefused}
		switch {
		case r.wait.holds(now) && r.access == g.AccessToken:
			return // the same refusal, heard once more
		case lately.holds(now):
			delay = min(2*r.wait.length, mostRefused)
		}
		r.access, r.wait = g.AccessToken, span{now, delay}
	})
}
