package proxy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-smtp"

	"authferry/internal/printable"
	"authferry/proxy/gate"
	"authferry/tokens"
	"authferry/tokens/oauth"
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
		"temporary problem on the way to the mail provider, try again later"},
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
	// errTokenRefused: the provider said that the token is not good.
	errTokenRefused = errors.New("the provider refused the token")
	// errProviderRefused: the provider took no exception to the token, but
	// lets nobody in until a person changes something (IMAP switched off).
	errProviderRefused = errors.New("the provider refused the login")
	// errProviderBusy: the provider says itself that trying again later helps.
	errProviderBusy = errors.New("the provider cannot serve the login now")
)

// providerSays makes an error of a kind from a reply of the provider. Mail
// programs are shown its words too: they name a fix nobody else knows. Since
// providers answer a bad token with "invalid credentials", the words begin by
// saying whose credentials are meant.
func providerSays(kind error, p *oauth.Provider, reply string) error {
	reply = quotable(reply)
	words := p.Name + " says: " + reply
	if kind == errTokenRefused {
		words = "your password is right, but " + p.Name + " refused the token behind it: " + reply
	}
	return &publicError{cause: fmt.Errorf("%w: %q", kind, reply), words: words}
}

// switchedOff and passing are phrases that tell what a refusal means where its
// code does not: Gmail says [ALERT], [AUTH] or 535 for nearly everything.
var (
	switchedOff = []string{
		"not enabled for", "is disabled", "disabled for", // IMAP, POP or SMTP AUTH switched off
		"web browser", "web login", // Google wants to see the person
		"application-specific password", "app password",
	}
	passing = []string{
		"too many", "bandwidth limits", "throttled", // limits of the account
		"temporary", "temporarily", "try again later", "server busy", "timed out", "timeout",
		"service unavailable", "server unavailable", // but Postfix says "(reason unavailable)" to a bad token
	}
)

// kindByText finds what a provider's words mean, or returns the kind that its
// code suggests.
func kindByText(text string, byCode error) error {
	text = strings.ToLower(text)
	for _, phrase := range switchedOff {
		if strings.Contains(text, phrase) {
			return errProviderRefused
		}
	}
	for _, phrase := range passing {
		if strings.Contains(text, phrase) {
			return errProviderBusy
		}
	}
	return byCode
}

// maxWords is how long each part of a refusal may be: three of them fit an SMTP
// reply of 512 bytes (RFC 5321 §4.5.3.1.5).
const maxWords = 160

// quotable makes a peer's words fit to be repeated in a reply to another peer or
// in a log.
func quotable(s string) string { return printable.ASCII(withoutTicket(s), maxWords) }

// withoutTicket cuts the value out of plt=, with which Google's links into its
// sign-in pages carry a login half done.
func withoutTicket(s string) string {
	before, ticket, ok := strings.Cut(s, "plt=")
	if !ok {
		return s
	}
	after := ""
	if i := strings.IndexAny(ticket, " >]"); i >= 0 {
		after = ticket[i:]
	}
	return before + "plt=..." + after
}

// refusalFor finds the row of an error, and the words to go with it. What no row
// claims is unavailable: an error nobody foresaw must never read as a wrong
// password.
func refusalFor(err error) refusal {
	var public *publicError
	r := refusal{row: rowFor(err)}
	advice, advised := oauth.AdviceOf(err)
	switch {
	case errors.As(err, &public):
		r.words = public.words
	case advised:
		r.words = adviceWords(advice)
	case errors.Is(err, oauth.ErrRefused):
		r.words = quotable(err.Error()) // names the fix, to somebody with the right password
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
	case errors.Is(err, errTokenRefused), errors.Is(err, errProviderRefused), errors.Is(err, oauth.ErrRefused):
		return rowRefused
	}
	return rowUnavailable
}

// adviceWords puts advice on one line. Each part is cut by itself: the fix comes
// last, and is what must not be lost.
func adviceWords(a oauth.Advice) string {
	words := quotable(a.Words)
	if a.Page != "" {
		words += " (" + quotable(a.Page) + ")"
	}
	return words + "; " + quotable(a.Fix)
}
