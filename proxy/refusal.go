package proxy

import (
	"errors"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-smtp"

	"authferry/proxy/gate"
	"authferry/proxy/upstream"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// row is a cause of refusal, as far as a mail program needs to distinguish them.
type row int

const (
	rowBadLogin    row = iota // unknown mailbox, wrong password, wrong network, protocol not allowed
	rowNeedsTLS               // plaintext login where TLS is required
	rowTooMany                // too many failures or connections
	rowDeadGrant              // a person has to connect the mailbox again
	rowRefused                // the provider refused a fresh token, or switched the protocol off
	rowUnavailable            // everything else: trying again later helps
)

// refusals is the table of what a client of each protocol is told about a failure.
// A temporary or administrative failure never reads as a wrong password: mail
// programs forget a stored password on AUTHENTICATIONFAILED, [AUTH] and 535.
// SMTP says 454 to everything that can happen to a right password, so that queues
// keep the mail. IMAP codes: RFC 5530; POP3: RFC 2449 §8.1.1 and RFC 3206; SMTP:
// RFC 4954 §6.
var refusals = [...]struct {
	name     string
	imap     imap.ResponseCode
	alert    bool // IMAP: an untagged [ALERT] before the refusal, which programs must show
	pop3     string
	smtp     int
	enhanced smtp.EnhancedCode
	words    string // for the client, unless the cause has better ones
}{
	rowBadLogin: {"bad login", imap.ResponseCodeAuthenticationFailed, false, "AUTH", 535, smtp.EnhancedCode{5, 7, 8},
		"user name or password not accepted"},
	rowNeedsTLS: {"needs TLS", imap.ResponseCodePrivacyRequired, false, "AUTH", 538, smtp.EnhancedCode{5, 7, 11},
		"switch on STARTTLS in your mail program: a password is accepted here only over TLS"},
	rowTooMany: {"too many", imap.ResponseCodeLimit, false, "LOGIN-DELAY", 454, smtp.EnhancedCode{4, 7, 0},
		"too many failures or connections, try again later"},
	rowDeadGrant: {"needs consent", imap.ResponseCodeContactAdmin, true, "SYS/PERM", 454, smtp.EnhancedCode{4, 7, 0},
		"this mailbox must be connected again"},
	rowRefused: {"provider refused", imap.ResponseCodeContactAdmin, false, "SYS/PERM", 454, smtp.EnhancedCode{4, 7, 0},
		"the mail provider refused the login"},
	rowUnavailable: {"unavailable", imap.ResponseCodeUnavailable, false, "SYS/TEMP", 454, smtp.EnhancedCode{4, 7, 0},
		"temporary problem on the way to the mail provider, try again later"},
}

func (r row) String() string { return refusals[r].name }

// refusal is what a client is told: a row of the table, and words.
type refusal struct {
	row   row
	words string
}

// wordedError has words that a mail program may show, apart from the cause, which
// is for the log.
type wordedError struct {
	cause error
	words string
}

func (e *wordedError) Error() string { return e.cause.Error() }
func (e *wordedError) Unwrap() error { return e.cause }

var errNeedsTLS = errors.New("login without TLS where TLS is required")

// refusalFor returns the refusal for an error. An error that no row names is
// unavailable: an unforeseen error must never read as a wrong password.
func refusalFor(err error) refusal {
	var worded *wordedError
	var answer *upstream.Error
	r := refusal{row: rowFor(err)}
	advice, advised := oauth.AdviceOf(err)
	switch {
	case errors.As(err, &worded):
		r.words = worded.words
	case errors.As(err, &answer):
		r.words = answer.Words
	case advised:
		r.words = adviceWords(advice)
	case errors.Is(err, oauth.ErrRefused):
		r.words = upstream.Quotable(err.Error()) // names the fix, and the password was right
	default:
		r.words = refusals[r.row].words
	}
	return r
}

func rowFor(err error) row {
	switch {
	case errors.Is(err, tokens.ErrBadLogin):
		return rowBadLogin
	case errors.Is(err, errNeedsTLS):
		return rowNeedsTLS
	case errors.Is(err, gate.ErrTooMany):
		return rowTooMany
	case errors.Is(err, oauth.ErrNeedsConsent):
		return rowDeadGrant
	case errors.Is(err, upstream.ErrTokenRefused), errors.Is(err, upstream.ErrProviderRefused), errors.Is(err, oauth.ErrRefused):
		return rowRefused
	}
	return rowUnavailable
}

// adviceWords puts advice on one line. Each part is cut by itself: the fix comes
// last and must not be lost.
func adviceWords(a oauth.Advice) string {
	words := upstream.Quotable(a.Words)
	if a.Page != "" {
		words += " (" + upstream.Quotable(a.Page) + ")"
	}
	return words + "; " + upstream.Quotable(a.Fix)
}
