package oauth

import (
	"fmt"
	"io"
	"time"

	"authferry/internal/secret"
)

// Token is what a provider granted: RFC 6749 §5.1, with times made absolute.
type Token struct {
	Access  secret.String
	Refresh secret.String
	Minted  time.Time // when the provider issued Access
	Expiry  time.Time // zero: the provider named no end
	Scopes  []string  // what was granted, which may be less than what was asked
	// RefreshExpiry is when the grant itself ends (Google's
	// refresh_token_expires_in, sent while the consent screen is in Testing).
	// Zero: the provider named no end.
	RefreshExpiry time.Time

	Owner string // who signed in, if the answer said so (see [Provider.WhoIs]); never stored
}

func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, "token "+secret.Redacted) }

// clockSkew is how far into the future a token may have been minted: machines
// that share a store have clocks of their own.
const ClockSkew = time.Minute

// left is the life an access token has left, as far as anyone knows.
func (t Token) Left(now time.Time) time.Duration {
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
func (t Token) Stale(now time.Time, ahead float64) bool {
	if t.Access.Empty() {
		return true
	}
	if t.Expiry.IsZero() {
		return false
	}
	life := t.Expiry.Sub(t.Minted)
	if t.Minted.After(now.Add(ClockSkew)) || life <= 0 || life > maxLife {
		return true
	}
	return t.Left(now) < time.Duration(ahead*float64(life))
}
