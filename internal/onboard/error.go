package onboard

import (
	"errors"
	"fmt"
	"strings"

	"authferry/internal/protocol"
	"authferry/tokens/oauth"
)

// Cause is why a grant was not accepted.
type Cause string

const (
	NoToken        Cause = "no token"        // the provider issued none; no person signs in
	Incomplete     Cause = "incomplete"      // the answer lacks a token
	MissingScopes  Cause = "missing scopes"  // the owner did not grant all of them
	UnknownAccount Cause = "unknown account" // the provider does not say which account signed in
	WrongAccount   Cause = "wrong account"   // another account signed in
	NotDelegated   Cause = "not delegated"   // the account that signed in may not open the shared mailbox
	ProtocolOff    Cause = "protocol off"    // the right account signed in; the protocol is probably off
	Refused        Cause = "refused"         // the login was refused, and the account is not known
	NotOpened      Cause = "not opened"      // the login was refused; no person signs in
	Unproven       Cause = "unproven"        // the login could not be tried
)

// Error is why a mailbox was not connected.
type Error struct {
	Cause    Cause
	Mailbox  string
	SignIn   string // as in [Grant]
	Provider *oauth.Provider
	Protocol protocol.Protocol // of the login that was tried
	Account  string            // that signed in, as far as the provider says; printable
	Scopes   []string          // that are missing
	Kept     bool              // the grant was kept all the same: see [Grant.Renewed]
	Err      error
}

func newError(g *Grant, c Cause, err error) *Error {
	return &Error{Cause: c, Mailbox: g.Mailbox, SignIn: g.SignIn, Provider: g.Provider, Err: err}
}

// refusalCause finds out why a login was refused from the account that signed in.
func refusalCause(e *Error) Cause {
	switch {
	case e.Account == "":
		return Refused
	case !strings.EqualFold(e.Account, e.Expected()):
		return WrongAccount
	case e.SignIn != "":
		return NotDelegated
	}
	return ProtocolOff
}

// Expected returns the account that had to sign in.
func (e *Error) Expected() string {
	g := Grant{Mailbox: e.Mailbox, SignIn: e.SignIn}
	return g.account()
}

func (e *Error) Unwrap() error { return e.Err }

func (e *Error) Error() string {
	switch e.Cause {
	case NoToken:
		return e.Err.Error()
	case WrongAccount:
		return fmt.Sprintf("you signed in as %s, expected %s: %v", e.Account, e.Expected(), e.Err)
	case NotDelegated:
		return fmt.Sprintf("the grant of %s does not open %s: %v", e.SignIn, e.Mailbox, e.Err)
	case ProtocolOff, Refused:
		return fmt.Sprintf("the grant does not open %s: %v", e.Mailbox, e.Err)
	case NotOpened:
		return fmt.Sprintf("%s does not open %s: %v", e.Provider.Name, e.Mailbox, e.Err)
	case Unproven:
		return fmt.Sprintf("trying the grant: %v", e.Err)
	}
	return fmt.Sprintf("connecting %s: %v", e.Mailbox, e.Err)
}

// Advice returns what to do where no person signs in, and on which page; both
// are empty if that is not known.
func (e *Error) Advice() (fix, page string) {
	command := e.Provider.Flow == oauth.FlowTokenCommand
	cause := oauth.CauseOf(e.Err)
	switch {
	case e.Cause == NotOpened && command:
		return "check that the token that the command prints is for this mailbox", ""
	case e.Cause == NotOpened:
		cause = oauth.CauseDelegation
	case errors.Is(e.Err, oauth.ErrUnavailable) && !command:
		return "nothing was changed; try again later", ""
	}
	advice := cause.Advice(e.Mailbox, e.Provider)
	return advice.Fix, advice.Page
}
