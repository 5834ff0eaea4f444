package tokens

import "time"

const (
	// leastLife is how much life a cached token must have to serve a login
	// when no better one can be had.
	leastLife = time.Minute
	// patientLife is how much of it lets a login go on without waiting long
	// for a refresh under way; patience is how long.
	patientLife = 5 * time.Minute
	patience    = 5 * time.Second
	// clockSkew is how far into the future a token may have been minted:
	// machines that share a store have clocks of their own.
	clockSkew = time.Minute
)

// left is the life an access token has left, as far as anyone knows.
func (t Token) left(now time.Time) time.Duration {
	switch {
	case t.Access.Empty():
		return 0
	case t.Expiry.IsZero():
		return maxLife
	}
	return t.Expiry.Sub(now)
}

// stale tells whether a login should begin with a newer token: less than a
// share ahead of its life is left, or the clock has jumped and nothing can be
// said of it.
func (t Token) stale(now time.Time, ahead float64) bool {
	if t.Access.Empty() {
		return true
	}
	if t.Expiry.IsZero() {
		return false
	}
	life := t.Expiry.Sub(t.Minted)
	if t.Minted.After(now.Add(clockSkew)) || life <= 0 || life > maxLife {
		return true
	}
	return t.left(now) < time.Duration(ahead*float64(life))
}
