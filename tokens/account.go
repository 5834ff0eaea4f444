package tokens

import (
	"net/netip"
	"time"
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

	Token Token

	// Dead is set when the provider answered that a person must sign in or give
	// consent again (invalid_grant, interaction_required). The refresh token is kept all the same, since providers
	// have been known to take such an answer back.
	Dead *Failure
	// Trouble is the last transient failure since the last good refresh.
	Trouble *Failure

	Passwords []Password

	Created   time.Time
	Connected time.Time // when consent was last given
}

// Token is what a provider granted: RFC 6749 §5.1, with times made absolute.
type Token struct {
	Access  Secret
	Refresh Secret
	Minted  time.Time // when the provider issued Access
	Expiry  time.Time // zero: the provider named no end
	Scopes  []string  // what was granted, which may be less than what was asked
	// RefreshExpiry is when the grant itself ends (Google's
	// refresh_token_expires_in, sent while the consent screen is in Testing).
	// Zero: the provider named no end.
	RefreshExpiry time.Time

	owner string // who signed in, if the answer said so (see [Provider.WhoIs]); never stored
}

// Failure is a refresh that did not succeed.
type Failure struct {
	At     time.Time // of the last one
	Since  time.Time // of the first one in a row
	Reason string    // for people; never contains a token
	Cause  Cause     // what kind of failure it is, as far as the answer tells
	Count  int       // consecutive failures so far
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
	Key    Secret
	Hash   Secret
	Argon2 Secret

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
