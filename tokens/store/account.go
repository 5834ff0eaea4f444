package store

import (
	"fmt"
	"io"
	"net/netip"
	"time"

	"authferry/internal/secret"
	"authferry/tokens/oauth"
)

// Account is all that is kept of one mailbox: the provider it lives at, the
// grant its owner gave, and the local passwords that may use it.
//
// Accounts handed out by a [Store] are shared between callers: read them, and
// change them only inside [Store.Update].
type Account struct {
	Mailbox  string // the address in lower case; the key of the store
	Provider string // a key of the configuration's [provider.NAME] tables; empty: removed, with its passwords kept

	// SignIn is whose grant it is, where that is not the mailbox itself: the
	// delegate of a shared mailbox. The provider is still told Mailbox as the user.
	SignIn string

	Token oauth.Token

	// Dead is set when the provider answered that a person must sign in or give
	// consent again (invalid_grant, interaction_required). The refresh token is kept all the same, since providers
	// have been known to take such an answer back.
	Dead *Failure
	// Trouble is the last transient failure since the last good refresh.
	Trouble *Failure

	Passwords []Password

	Created   time.Time
	Connected time.Time // when consent was last given

	// Unconfirmed is set on a copy that [Postgres.Get] returns while the database
	// cannot be reached: another process may have changed the account since. It is
	// not stored.
	Unconfirmed bool
}

// Failure is a refresh that did not succeed.
type Failure struct {
	At     time.Time   // of the last one
	Since  time.Time   // of the first one in a row
	Reason string      // for people; never contains a token
	Cause  oauth.Cause // what kind of failure it is, as far as the answer tells
	Count  int         // consecutive failures so far
}

// State names what a mailbox's grant can do now.
type State string

const (
	StateFresh        State = "fresh"         // the access token has most of its life left
	StateStale        State = "stale"         // the next login refreshes it
	StateRefreshing   State = "refreshing"    // a refresh is under way in this process
	StateNeedsConsent State = "needs-consent" // a person must run `authferry connect`
	StateDisconnected State = "disconnected"  // removed, with its passwords kept for when it is connected again
	StateUnreachable  State = "unreachable"   // the token endpoint failed lately; it is tried again by itself
)

// Password is one local password of a mailbox: a name for people, a verifier,
// and what it is good for.
type Password struct {
	ID   string // random, never reused: a live session remembers it
	Name string

	// Generated passwords have the entropy to be kept as a keyed hash (Key,
	// Hash: 32 bytes each); chosen ones are kept as argon2id in PHC string form
	// (Argon2). Secret keeps them out of print: a hash can be guessed against.
	Key    secret.String
	Hash   secret.String
	Argon2 secret.String

	Protocols []string       // of "imap", "pop3", "smtp"; empty: all
	Networks  []netip.Prefix // empty: all
	Expires   time.Time      // zero: never
	Created   time.Time
	LastUsed  Use

	// ReadOnly passwords look at everything and change nothing.
	ReadOnly bool
	// MessagesPerHour and Recipients (of one message) bound what may be sent
	// with it; 0: no bound.
	MessagesPerHour int
	Recipients      int
}

// Use is a login with a local password.
type Use struct {
	At       time.Time
	From     netip.Addr
	Protocol string
	Client   string // how the program named itself: IMAP ID, or its EHLO argument
}

func (a Account) Format(f fmt.State, _ rune) { io.WriteString(f, "account "+a.Mailbox) }

func (p Password) Format(f fmt.State, _ rune) { io.WriteString(f, "password "+p.Name) }

// held tells a mailbox that the store has from one that an edit begins.
func (a *Account) Held() bool { return a.Provider != "" || !a.Created.IsZero() || len(a.Passwords) > 0 }

// Failure is what keeps an account's grant from being used, nil if nothing
// does: the provider's word on it where there is one, else the last failure.
func (a *Account) Failure() *Failure {
	if a.Dead != nil {
		return a.Dead
	}
	return a.Trouble
}

// first is when a failure began.
func (f *Failure) First() time.Time {
	if f.Since.IsZero() { // written by a version that did not note it
		return f.At
	}
	return f.Since
}

// next is a failure after f, the first if f is nil.
func (f *Failure) Next(now time.Time, err error, why oauth.Cause) *Failure {
	n := &Failure{At: now.UTC().Round(0), Since: now.UTC().Round(0), Reason: err.Error(), Cause: why, Count: 1}
	if f != nil {
		n.Count = f.Count + 1
		if !f.Since.IsZero() {
			n.Since = f.Since
		}
	}
	return n
}
