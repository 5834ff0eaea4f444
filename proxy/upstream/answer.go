package upstream

import (
	"errors"
	"fmt"
	"strings"

	"authferry/internal/printable"
	"authferry/tokens/oauth"
)

// What the answer of a provider that ends a login means.
var (
	// ErrTokenRefused: the provider says that the token is not good.
	ErrTokenRefused = errors.New("the provider refused the token")
	// ErrProviderRefused: the provider does not object to the token, but refuses
	// logins until a person changes something (IMAP is switched off).
	ErrProviderRefused = errors.New("the provider refused the login")
	// ErrProviderBusy: the provider says itself that trying again later helps.
	ErrProviderBusy = errors.New("the provider cannot serve the login now")
)

// Error is an answer of a provider that ended a login.
type Error struct {
	Err   error  // what it means and what the provider said, for the log
	Words string // the same for the user of the mail program
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// answered returns the error for a reply of the provider. Mail programs show the
// provider's words too: only they may name what has to be changed. Since
// providers answer a bad token with "invalid credentials", the words begin by
// saying whose credentials are meant.
func answered(kind error, p *oauth.Provider, reply string) error {
	reply = Quotable(reply)
	words := p.Name + " says: " + reply
	if kind == ErrTokenRefused {
		words = "your password is right, but " + p.Name + " refused the token behind it: " + reply
	}
	return &Error{Err: fmt.Errorf("%w: %q", kind, reply), Words: words}
}

// switchedOff and temporary are phrases that say what a refusal means where its
// code does not: Gmail says [ALERT], [AUTH] or 535 for nearly everything.
var (
	switchedOff = []string{
		"not enabled for", "is disabled", "disabled for", // IMAP, POP or SMTP AUTH switched off
		"web browser", "web login", // Google wants to see the person
		"application-specific password", "app password",
	}
	temporary = []string{
		"too many", "bandwidth limits", "throttled", // limits of the account
		"temporary", "temporarily", "try again later", "server busy", "timed out", "timeout",
		"service unavailable", "server unavailable", // but Postfix says "(reason unavailable)" to a bad token
	}
)

// kindByText returns what a provider's words mean, or byCode, which the code of the
// reply suggests, if they mean nothing in particular.
func kindByText(text string, byCode error) error {
	text = strings.ToLower(text)
	for _, phrase := range switchedOff {
		if strings.Contains(text, phrase) {
			return ErrProviderRefused
		}
	}
	for _, phrase := range temporary {
		if strings.Contains(text, phrase) {
			return ErrProviderBusy
		}
	}
	return byCode
}

// maxWords is the length of each part of a refusal: three of them fit an SMTP
// reply of 512 bytes (RFC 5321 §4.5.3.1.5).
const maxWords = 160

// Quotable makes a peer's words fit to be repeated in a reply to another peer or
// in a log: one short line of ASCII.
func Quotable(s string) string { return printable.ASCII(withoutTicket(s), maxWords) }

// withoutTicket cuts the value out of plt=, with which Google's links into its
// sign-in pages carry a half-finished login.
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
