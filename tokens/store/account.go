package store

import (
	"fmt"
	"io"
	"net/netip"
	"time"

	"authferry/internal/protocol"
	"authferry/internal/secret"
	"authferry/tokens/oauth"
)

// Account is what a store keeps about one mailbox: its provider, the grant of its
// owner, and its local passwords.
//
// Callers share the accounts that a [Store] returns: change an account only inside
// [Store].Update.
type Account struct {
	Mailbox  string // the address in lower case; the key of the store
	Provider string // a key of the configuration's [provider.NAME] tables; empty: removed, with its passwords kept

	// SignIn is the owner of the grant if that is not the mailbox itself, such as the
	// delegate of a shared mailbox. The user name for the provider is still Mailbox.
	SignIn string

	Token oauth.Token

	// Dead is set when the provider answered that a person must sign in or give
	// consent again (invalid_grant, interaction_required). The refresh token is kept,
	// since providers have been known to accept it again later.
	Dead *Failure
	// Trouble is the last transient failure since the last successful refresh.
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
	Cause  oauth.Cause // the kind of failure, as far as the answer shows it
	Count  int         // consecutive failures so far
}

// State is the state of a mailbox's grant.
type State string

const (
	StateFresh        State = "fresh"         // the access token has most of its life left
	StateStale        State = "stale"         // the next login refreshes it
	StateRefreshing   State = "refreshing"    // a refresh is under way in this process
	StateNeedsConsent State = "needs-consent" // a person must run `authferry connect`
	StateDisconnected State = "disconnected"  // removed, with its passwords kept for when it is connected again
	StateUnreachable  State = "unreachable"   // the last refresh failed; it is retried automatically
)

// Password is one local password of a mailbox: a name for people, a verifier, and
// the restrictions on its use.
type Password struct {
	ID   string // random, never reused: live sessions refer to it
	Name string

	// Generated passwords have enough entropy for a keyed hash (Key, Hash: 32 bytes
	// each); chosen ones are kept as argon2id in PHC string form (Argon2). They are
	// secrets, since a hash allows guesses offline.
	Key    secret.String
	Hash   secret.String
	Argon2 secret.String

	Protocols []protocol.Protocol // empty: all
	Networks  []netip.Prefix      // empty: all
	Expires   time.Time           // zero: never
	Created   time.Time
	LastUsed  Use

	// ReadOnly passwords may read everything and change nothing.
	ReadOnly bool
	// MessagesPerHour and Recipients (of one message) limit sending; 0: no limit.
	MessagesPerHour int
	Recipients      int
}

// Use is a login with a local password.
type Use struct {
	At       time.Time
	From     netip.Addr
	Protocol protocol.Protocol
	Client   string // how the program named itself: IMAP ID, or its EHLO argument
}

func (a Account) Format(f fmt.State, _ rune) { io.WriteString(f, "account "+a.Mailbox) }

func (p Password) Format(f fmt.State, _ rune) { io.WriteString(f, "password "+p.Name) }

// Held reports whether the store has the mailbox, as opposed to one that an edit adds.
func (a *Account) Held() bool { return a.Provider != "" || !a.Created.IsZero() || len(a.Passwords) > 0 }

// Failure returns the reason that the account's grant cannot be used, nil if it can:
// the provider's answer if there is one, else the last failure.
func (a *Account) Failure() *Failure {
	if a.Dead != nil {
		return a.Dead
	}
	return a.Trouble
}

// First returns the time of the first failure in a row.
func (f *Failure) First() time.Time {
	if f.Since.IsZero() { // written by a version without Since
		return f.At
	}
	return f.Since
}

// Next returns the failure that follows f, the first in a row if f is nil.
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
