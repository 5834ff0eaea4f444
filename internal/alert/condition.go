package alert

import (
	"fmt"
	"time"

	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// Condition is the state of a mailbox now.
type Condition struct {
	Mailbox  string
	Provider string
	Event    Event // "": all is well
	Cause    oauth.Cause
	Since    time.Time // of the trouble; zero if it is not known
	At       time.Time // when the grant ends or was found to have ended; zero if it does not
	Reason   string    // the provider's answer, for people
	Advice   oauth.Advice
}

// causeNotConfigured is the cause of a mailbox whose [provider.NAME] table is gone.
const causeNotConfigured oauth.Cause = "not-configured"

// refusedAfter is how long a refusal may last before the alert: an administrator
// may be changing settings in the provider's console right now.
const refusedAfter = 5 * time.Minute

// Look returns the condition of a mailbox at the provider p, which is nil if it
// is not configured. person and certain are [tokens.Vault.NeedsPerson]'s.
func (c Config) Look(a *store.Account, p *oauth.Provider, person time.Time, certain bool, now time.Time) Condition {
	c = c.WithDefaults()
	is := Condition{Mailbox: a.Mailbox, Provider: a.Provider}
	over := certain && !person.IsZero() && !now.Before(person)
	switch t := a.Trouble; {
	case a.Provider == "": // disconnected, on purpose
		return is
	case p == nil:
		is.Event, is.Cause = Refused, causeNotConfigured
		is.Advice = oauth.Advice{
			Words: fmt.Sprintf("the provider %s is not configured", a.Provider),
			Fix:   fmt.Sprintf("add a table [provider.%s], or connect the mailbox to another provider", a.Provider),
		}
		return is
	case a.Dead != nil:
		is.Event, is.Cause, is.Since, is.Reason = GrantEnded, a.Dead.Cause, a.Dead.Since, a.Dead.Reason
		is.At = a.Dead.Since
	case t != nil && t.Cause.Lasts() && now.Sub(t.Since) >= min(refusedAfter, c.After):
		is.Event, is.Cause, is.Since, is.Reason = Refused, t.Cause, t.Since, t.Reason
	case over:
		is.Event, is.Cause, is.Since, is.At = GrantEnded, endCause(a), person, person
	case certain && !person.IsZero() && person.Sub(now) <= c.Ahead:
		is.Event, is.Cause, is.At = GrantEnding, endCause(a), person
	// From the first failure to the last one: a single failure without a later
	// try says nothing about the time since.
	case t != nil && t.At.Sub(t.Since) >= c.After:
		is.Event, is.Cause, is.Since, is.Reason = Unreachable, t.Cause, t.Since, t.Reason
	default:
		return is
	}
	is.Advice = is.advice(p)
	return is
}

// advice returns the advice for the cause, or the closest one without a cause.
func (is Condition) advice(p *oauth.Provider) oauth.Advice {
	cause := is.Cause
	if cause == oauth.CauseUnknown && is.Event != Unreachable {
		cause = oauth.CauseRevoked // the most common cause, and the fix is the same
	}
	advice := cause.Advice(is.Mailbox, p)
	if is.Event == GrantEnding { // the words of the cause are about a grant that has ended
		advice.Words = "the provider gave this grant for a time that is about to end (Google: seven days, while the consent screen is in Testing)"
	}
	if advice.Words == "" {
		advice.Words = "no new token could be had from the provider " + p.Name
	}
	if advice.Fix == "" {
		advice.Fix = "see what authferry check " + is.Mailbox + " says"
	}
	return advice
}

// endCause returns why a grant ends at a known time.
func endCause(a *store.Account) oauth.Cause {
	if !a.Token.RefreshExpiry.IsZero() {
		return oauth.CauseTesting
	}
	return oauth.CauseUnknown
}

// Person reports whether the condition needs a person. An unreachable token
// endpoint does not: it may recover.
func (is Condition) Person() bool {
	return is.Event == GrantEnding || is.Event == GrantEnded || is.Event == Refused
}
