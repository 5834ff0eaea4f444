package oauth

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Cause is why a grant ended or cannot be used, as far as the provider's response
// says. Its text is stable: it is stored, and is a label of metrics.
type Cause string

const (
	CauseUnknown        Cause = ""
	CauseRevoked        Cause = "revoked"         // revoked, unused too long, or the password was changed: responses do not say which
	CauseTesting        Cause = "testing-ended"   // a consent screen in Testing: after seven days
	CauseSessionControl Cause = "session-control" // the domain requires a new sign-in (invalid_rapt)
	CausePolicy         Cause = "policy"          // the domain's administrator does not allow this client
	CauseClientDeleted  Cause = "client-deleted"  // the OAuth client was deleted or disabled
	CauseClient         Cause = "client"          // client id, secret, certificate or key is wrong
	CauseDelegation     Cause = "delegation"      // a service account or application without the right to this mailbox
	CauseUnknownUser    Cause = "unknown-user"    // the provider does not know the mailbox
	CauseInteraction    Cause = "interaction"     // the provider requires the owner to sign in (MFA, conditional access)
	CauseClock          Cause = "clock"           // this machine's clock is wrong
	CauseNoGrant        Cause = "no-grant"        // there is nothing to refresh
	CauseCommand        Cause = "command"         // the token_command failed
	CauseThrottled      Cause = "throttled"       // too many calls: 429
	CauseOutage         Cause = "outage"          // 5xx, HTML, truncated JSON
	CauseUnreachable    Cause = "unreachable"     // DNS, TCP, TLS, no answer in time
)

// Lasts reports whether a cause persists until a person acts.
func (c Cause) Lasts() bool {
	switch c {
	case CauseUnknown, CauseThrottled, CauseOutage, CauseUnreachable:
		return false
	}
	return true
}

// The kinds of failure. Errors of this package match one of them with errors.Is; treat
// any other error as ErrUnavailable. Their text is for the log and for people, and
// never contains a secret.
var (
	// ErrNeedsConsent: the grant has ended; a person must connect the mailbox again.
	ErrNeedsConsent = errors.New("the mailbox must be connected again")
	// ErrRefused: the provider refuses for another reason that only a person can
	// change (for example, the OAuth client was deleted).
	ErrRefused = errors.New("the provider refused")
	// ErrUnavailable: the token endpoint or the store failed, was slow or is
	// throttling. Trying again later may help.
	ErrUnavailable = errors.New("temporarily unavailable")
)

// Error is a login, or another call, that got no token.
type Error struct {
	Kind   error // ErrNeedsConsent, ErrRefused or ErrUnavailable
	Cause  Cause
	Advice Advice
	Reason string // for the log; never contains a secret
	Err    error  // what failed, if that is known
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%v: %s", e.Kind, e.Reason)
	named := e.Kind == ErrRefused && strings.Contains(e.Reason, "; ") // a fix for this response
	if e.Kind == ErrUnavailable || e.Advice.Fix == "" || named {
		return text
	}
	return text + "; " + e.Advice.Fix
}

func (e *Error) Unwrap() []error {
	if e.Err != nil {
		return []error{e.Kind, e.Err}
	}
	return []error{e.Kind}
}

// NewError returns the error of a failed attempt to get a token, with its advice.
func NewError(kind error, mailbox string, p *Provider, cause Cause, reason string) *Error {
	return &Error{Kind: kind, Cause: cause, Advice: cause.Advice(mailbox, p), Reason: reason}
}

// AdviceOf returns the advice of an error, if it has one. It is safe to show to anyone
// who knows the local password.
func AdviceOf(err error) (Advice, bool) {
	if e := (*Error)(nil); errors.As(err, &e) && e.Advice.Words != "" {
		return e.Advice, true
	}
	return Advice{}, false
}

// CauseOf returns the cause of an error, as far as it is known.
func CauseOf(err error) Cause {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Cause
	}
	if e := (*EndpointError)(nil); errors.As(err, &e) {
		return e.Cause()
	}
	return CauseUnknown
}

// explain turns the error of a call for a mailbox into an [Error].
func explain(p *Provider, mailbox string, err error) error {
	e := (*EndpointError)(nil)
	if !errors.As(err, &e) {
		return fmt.Errorf("getting a token for %s: %w", mailbox, err)
	}
	cause, kind := diagnose(p, Token{}, time.Time{}, e, time.Now())
	explained := NewError(kind, mailbox, p, cause, fmt.Sprintf("getting a token for %s: %v", mailbox, err))
	explained.Err = err
	return explained
}

// diagnose is [Provider.Diagnose]. It knows more than the response: in a flow without a
// person there is no consent to end, and the response does not say that a grant with a
// limited life has reached its end.
func diagnose(p *Provider, t Token, connected time.Time, e *EndpointError, now time.Time) (cause Cause, kind error) {
	cause, kind = e.Cause(), e.Kind
	switch {
	case p.Flow.NeedsPerson():
		switch {
		case kind == ErrNeedsConsent && t.Refresh.Empty():
			cause = CauseNoGrant
		case cause == CauseRevoked && t.timedOut(connected, now):
			cause = CauseTesting
		}
	case p.Flow == FlowTokenCommand && e.cause == CauseUnknown:
		cause = CauseCommand
	case cause == CauseRevoked, e.code == "unauthorized_client" && cause == CauseClient, e.code == "access_denied":
		cause = CauseDelegation // there is no consent that could be revoked: see mintUnattended
	}
	return cause, kind
}
