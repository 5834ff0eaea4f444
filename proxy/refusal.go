package proxy

import (
	"errors"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-smtp"

	"authferry/tokens"
)

// row is a cause of refusal: what happened, as far as a mail program needs to
// tell things apart.
type row int

const (
	rowBadLogin    row = iota // unknown mailbox, wrong password, wrong network, protocol not allowed
	rowNeedsTLS               // plaintext login where TLS is required
	rowTooMany                // too many failures or connections
	rowDeadGrant              // a person must connect the mailbox again
	rowRefused                // the provider refused a fresh token, or switched the protocol off
	rowUnavailable            // everything else: trying again later helps
)

// refusals is the one table of what a failure says to each protocol's client.
// A temporary or administrative failure never reads as a wrong password: mail
// programs forget a stored password on AUTHENTICATIONFAILED, [AUTH] and 535.
// SMTP says 454 for all that a right password can meet, so that queues keep
// the mail. IMAP codes: RFC 5530; POP3: RFC 2449 §8.1.1 and RFC 3206; SMTP:
// RFC 4954 §6.
var refusals = [...]struct {
	name     string
	imap     imap.ResponseCode
	alert    bool // IMAP: an untagged [ALERT] before the refusal, which programs must show
	pop3     string
	smtp     int
	enhanced smtp.EnhancedCode
	words    string // for the peer, where the cause gives no better
}{
	rowBadLogin: {"bad login", imap.ResponseCodeAuthenticationFailed, false, "AUTH", 535, smtp.EnhancedCode{5, 7, 8},
		"user name or password not accepted"},
	rowNeedsTLS: {"needs TLS", imap.ResponseCodePrivacyRequired, false, "AUTH", 538, smtp.EnhancedCode{5, 7, 11},
		"switch on STARTTLS in your mail program: a password is taken here only over TLS"},
	rowTooMany: {"too many", imap.ResponseCodeLimit, false, "LOGIN-DELAY", 454, smtp.EnhancedCode{4, 7, 0},
		"too many failures or connections, try again later"},
	rowDeadGrant: {"needs consent", imap.ResponseCodeContactAdmin, true, "SYS/PERM", 454, smtp.EnhancedCode{4, 7, 0},
		"this mailbox must be connected again"},
	rowRefused: {"provider refused", imap.ResponseCodeContactAdmin, false, "SYS/PERM", 454, smtp.EnhancedCode{4, 7, 0},
		"the mail provider refused the login"},
	rowUnavailable: {"unavailable", imap.ResponseCodeUnavailable, false, "SYS/TEMP", 454, smtp.EnhancedCode{4, 7, 0},
		"the mail provider cannot be reached now, try again later"},
}

func (r row) String() string { return refusals[r].name }

// refusal is what a client is told: a row of the table and the words to go with it.
type refusal struct {
	row   row
	words string
}

// publicError carries words that a mail program may be shown, apart from the
// cause, which is for the log.
type publicError struct {
	cause error
	words string
}

func (e *publicError) Error() string { return e.cause.Error() }
func (e *publicError) Unwrap() error { return e.cause }

var (
	errNeedsTLS = errors.New("login without TLS where TLS is required")
	errTooMany  = errors.New("too many failures or connections")
	// errTokenRefused: the provider said that the token is not good.
	errTokenRefused = errors.New("the provider refused the token")
	// errProviderRefused: the provider took no exception to the token, but
	// lets nobody in until a person changes something (IMAP switched off).
	errProviderRefused = errors.New("the provider refused the login")
)

// refusalFor finds the row of an error. What no row claims is unavailable: an
// error nobody foresaw must never read as a wrong password.
func refusalFor(err error) refusal {
	r := refusal{row: rowUnavailable}
	switch {
	case errors.Is(err, tokens.ErrBadLogin):
		r.row = rowBadLogin
	case errors.Is(err, errNeedsTLS):
		r.row = rowNeedsTLS
	case errors.Is(err, errTooMany):
		r.row = rowTooMany
	case errors.Is(err, tokens.ErrNeedsConsent):
		r.row = rowDeadGrant
	case errors.Is(err, errTokenRefused), errors.Is(err, errProviderRefused), errors.Is(err, tokens.ErrRefused):
		r.row = rowRefused
	}
	r.words = refusals[r.row].words
	if p := (*publicError)(nil); errors.As(err, &p) {
		r.words = p.words
	}
	return r
}
