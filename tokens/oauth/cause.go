package oauth

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Cause is what kind of failure ended a grant, or keeps one from being used, as
// far as the provider's answer tells. Its text is stable: it is stored, and a
// label of metrics.
type Cause string

const (
	CauseUnknown        Cause = ""
	CauseRevoked        Cause = "revoked"         // withdrawn, unused too long, or the password was changed: answers do not tell which
	CauseTesting        Cause = "testing-ended"   // a consent screen in Testing: seven days
	CauseSessionControl Cause = "session-control" // the domain wants people to sign in again (invalid_rapt)
	CausePolicy         Cause = "policy"          // the domain's administrator does not let this client in
	CauseClientDeleted  Cause = "client-deleted"  // the OAuth client is gone
	CauseClient         Cause = "client"          // client id, secret, certificate or key are not right
	CauseDelegation     Cause = "delegation"      // a service account or application without the right to this mailbox
	CauseUnknownUser    Cause = "unknown-user"    // the provider does not know the mailbox
	CauseInteraction    Cause = "interaction"     // the provider wants the owner to sign in (MFA, conditional access)
	CauseClock          Cause = "clock"           // this machine's clock is wrong
	CauseNoGrant        Cause = "no-grant"        // there is nothing to refresh
	CauseCommand        Cause = "command"         // the token_command failed
	CauseThrottled      Cause = "throttled"       // too many calls: 429
	CauseOutage         Cause = "outage"          // 5xx, HTML, truncated JSON
	CauseUnreachable    Cause = "unreachable"     // DNS, TCP, TLS, no answer in time
)

// lasts tells whether a cause goes away only when somebody does something.
func (c Cause) Lasts() bool {
	switch c {
	case CauseUnknown, CauseThrottled, CauseOutage, CauseUnreachable:
		return false
	}
	return true
}

// The ways a provider does not give a token. Errors of this package match one of
// them with errors.Is; anything else is to be treated as ErrUnavailable. Their
// text is for the log and for people, and never contains a secret.
var (
	// ErrNeedsConsent: the grant is dead until a person connects the mailbox again.
	ErrNeedsConsent = errors.New("the mailbox must be connected again")
	// ErrRefused: the provider refuses for a reason other than a dead grant, and
	// only a person can change it (the OAuth client was deleted, say).
	ErrRefused = errors.New("the provider refused")
	// ErrUnavailable: the token endpoint, or the store, failed, was slow or is
	// throttling. Trying again later helps.
	ErrUnavailable = errors.New("temporarily unavailable")
)

// tokenError is a login, or another call, that got no token.
type Error struct {
	Kind   error // ErrNeedsConsent, ErrRefused or ErrUnavailable
	Why    Cause
	Advice Advice
	Reason string // for the log; never contains a secret
	Cause  error  // of the network, if that was it
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%v: %s", e.Kind, e.Reason)
	named := e.Kind == ErrRefused && strings.Contains(e.Reason, "; ") // a fix that is about this very answer
	if e.Kind == ErrUnavailable || e.Advice.Fix == "" || named {
		return text
	}
	return text + "; " + e.Advice.Fix
}

func (e *Error) Unwrap() []error {
	if e.Cause != nil {
		return []error{e.Kind, e.Cause}
	}
	return []error{e.Kind}
}

// newTokenError makes what logins hear of a failed attempt at a token.
func NewError(kind error, mailbox string, p *Provider, why Cause, reason string) *Error {
	return &Error{Kind: kind, Why: why, Advice: why.Advice(mailbox, p), Reason: reason}
}

// AdviceOf returns what to tell people about an error of [Vault] or [Provider],
// if anything is known of it. It is safe to show to whoever knows the local password.
func AdviceOf(err error) (Advice, bool) {
	if e := (*Error)(nil); errors.As(err, &e) && e.Advice.Words != "" {
		return e.Advice, true
	}
	return Advice{}, false
}

// CauseOf returns the cause of an error of [Vault] or [Provider], as far as it
// is known.
func CauseOf(err error) Cause {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Why
	}
	if e := (*EndpointError)(nil); errors.As(err, &e) {
		return e.Because()
	}
	return CauseUnknown
}

// because is the cause of a call that failed: what brought no answer has a
// cause of the network.
func (e *EndpointError) Because() Cause {
	if e.why == CauseUnknown && e.Kind == ErrUnavailable && e.cause != nil {
		return CauseUnreachable
	}
	return e.why
}

// explain makes an error of a call for a mailbox one with advice.
func (p *Provider) explain(mailbox string, err error) error {
	e := (*EndpointError)(nil)
	if !errors.As(err, &e) {
		return fmt.Errorf("a token for %s: %w", mailbox, err)
	}
	why, kind := p.Meaning(Token{}, time.Time{}, e, time.Now())
	explained := NewError(kind, mailbox, p, why, fmt.Sprintf("a token for %s: %v", mailbox, err))
	explained.Cause = err
	return explained
}

// meaning is what a failed attempt to replace the token t means, whose owner gave
// consent at connected (zero: not known). The answer does not tell all of it:
// where no person signs in, nobody can give consent; and a grant that was given
// for a time does not say that its time is over.
func (p *Provider) Meaning(t Token, connected time.Time, e *EndpointError, now time.Time) (why Cause, kind error) {
	why, kind = e.Because(), e.Kind
	switch {
	case p.Flow.NeedsPerson():
		switch {
		case kind == ErrNeedsConsent && t.Refresh.Empty():
			why = CauseNoGrant
		case why == CauseRevoked && t.timedOut(connected, now):
			why = CauseTesting
		}
	case p.Flow == FlowTokenCommand && e.why == CauseUnknown:
		why = CauseCommand
	case why == CauseRevoked, e.code == "unauthorized_client" && why == CauseClient, e.code == "access_denied":
		why = CauseDelegation // there is no consent that could have been withdrawn: see mintAlone
	}
	return why, kind
}

const (
	// testingLife is how long a grant lasts while Google's consent screen is in
	// Testing: https://developers.google.com/identity/protocols/oauth2#expiration
	testingLife = 7 * 24 * time.Hour
	// endSlack is how far the end of a grant may be from where it was foreseen.
	endSlack = time.Hour
)

// timedOut reports whether a grant that the provider gave for a time came to its
// end: the end has passed, or it lay between the last good refresh and now.
func (t Token) timedOut(connected, now time.Time) bool {
	if t.RefreshExpiry.IsZero() {
		return false
	}
	week := connected.Add(testingLife)
	return now.After(t.RefreshExpiry.Add(-endSlack)) ||
		!connected.IsZero() && t.Minted.Before(week.Add(endSlack)) && now.After(week.Add(-endSlack))
}
