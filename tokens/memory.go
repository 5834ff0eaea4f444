package tokens

import (
	"math/rand/v2"
	"time"
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
	distrusted Secret
}

// unwrittenToken is a token that exists nowhere but here.
type unwrittenToken struct {
	token Token
	// insteadOf is what the store holds. Should it hold something else one
	// day, that is newer.
	insteadOf Secret
}

// coolDown keeps the token endpoint from being asked at every login.
type coolDown struct {
	refresh  Secret // the refresh token that failed
	failures int
	until    time.Time
	err      error // what logins hear meanwhile
}

// refusal remembers a provider that refused even a token just minted.
type refusal struct {
	access Secret
	until  time.Time
	delay  time.Duration
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
func (m *memory) coolingError(t Token, now time.Time) error {
	if m.cooling.refresh != t.Refresh || !now.Before(m.cooling.until) {
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
		r := &m.refused
		switch {
		case now.Before(r.until) && r.access == g.AccessToken:
			return // the same refusal, heard once more
		case now.Before(r.until.Add(2 * mostRefused)):
			r.delay = min(2*r.delay, mostRefused)
		default:
			r.delay = leastRefused
		}
		r.access, r.until = g.AccessToken, now.Add(r.delay)
	})
}
