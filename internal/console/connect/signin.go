package connect

import (
	"context"
	"crypto/subtle"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"authferry/internal/console/frame"
	"authferry/internal/console/people"
	"authferry/internal/secret"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

const (
	// signInLife is how long a person may take at the provider's pages: finding a
	// password, a second factor, an administrator who must allow it.
	signInLife = 20 * time.Minute
	// outcomeLife is how long the browser can show the outcome again, and with it a
	// password.
	outcomeLife = 10 * time.Minute
	// maxSignIns bounds the sign-ins that are remembered.
	maxSignIns = 2000
	// maxPerNetwork bounds those under way from one network: an office may have a
	// single address.
	maxPerNetwork = 60
	// finishTime bounds the exchange of a code and the login that proves it.
	finishTime = 90 * time.Second
)

// signIn is one sign-in at a provider. It begins in a browser, goes on at the
// provider's pages, and comes back to the same browser.
type signIn struct {
	ID       string // in addresses; valid only with the browser's cookie
	Mailbox  string // to connect; empty: any that the invitation admits
	SignIn   string // the account that signs in, if not the mailbox itself
	Provider *oauth.Provider

	Invitation *people.Invitation // nil: a signed-in user connects the mailbox
	untried    bool               // store the grant even if it cannot be tried out now
	from       netip.Addr
	browser    string // hash of the cookie that it belongs to
	began      time.Time

	consent  *oauth.Consent // nil: by a device code, or without a person
	state    string         // hash of the consent's
	Device   *oauth.Device
	Page     string // the provider's, to open
	Paste    bool   // the person pastes the redirected address
	Redirect string // where the provider sends the browser

	mu       sync.Mutex
	left     bool // the browser was sent to the provider
	answered bool // the provider has answered: further answers are ignored
	ended    time.Time
	outcome  *outcome
	done     chan struct{} // closed with the outcome
	stop     context.CancelFunc
}

// outcome is the result of a sign-in.
type outcome struct {
	Mailbox  string // that was connected; empty: none
	Untried  string // why the grant could not be tried out
	Grant    time.Time
	Password secret.String // to show, until it is forgotten
	Made     *tokens.PasswordSpec

	Failure string // key of a text
	Pairs   []any  // for it
	Detail  string // the provider's words, or those of the log, in English
	Again   bool   // signing in again may help
}

// Person returns who is to sign in; empty: anyone of the invitation's domain.
func (s *signIn) Person() string {
	if s.SignIn != "" {
		return s.SignIn
	}
	return s.Mailbox
}

// take reports whether the caller is the first with an answer of the provider, and
// so goes on with it.
func (s *signIn) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answered {
		return false
	}
	s.answered = true
	return true
}

// leave reports whether the browser has yet to be sent to the provider. It is sent
// once, so that its back button works.
func (s *signIn) leave() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !s.left
	s.left = true
	return first
}

// Outcome returns the outcome; nil: not yet.
func (s *signIn) Outcome() *outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.outcome
}

// Answered reports whether the provider has answered.
func (s *signIn) Answered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answered
}

func (s *signIn) end(o *outcome, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcome, s.ended = o, now
	close(s.done)
}

// forget removes the password from the outcome.
func (s *signIn) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outcome != nil {
		seen := *s.outcome
		seen.Password = ""
		s.outcome = &seen
	}
}

// expired reports whether the sign-in can be dropped.
func (s *signIn) expired(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outcome != nil {
		return now.Sub(s.ended) > outcomeLife
	}
	if s.Device != nil { // it is polled while its code is valid
		return now.After(s.Device.Expires.Add(finishTime))
	}
	return !s.answered && now.Sub(s.began) > signInLife
}

// signIns holds the sign-ins under way. They are in memory and not in the store:
// their secrets (a verifier, a password to show) must not be readable later, and
// after a restart people sign in again.
type signIns struct {
	mu      sync.Mutex
	byID    map[string]*signIn
	now     func() time.Time
	ctx     context.Context // ends with the console
	cancel  context.CancelFunc
	running sync.WaitGroup
	closed  bool
}

func newSignIns(now func() time.Time) *signIns {
	ctx, cancel := context.WithCancel(context.Background())
	return &signIns{byID: map[string]*signIn{}, now: now, ctx: ctx, cancel: cancel}
}

// close ends the sign-ins under way, and waits for it.
func (l *signIns) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cancel()
	l.running.Wait()
}

// add adds a sign-in, if there is room in total and for the browser's network:
// anyone with an invitation can begin one after the other.
func (l *signIns) add(s *signIn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for id, old := range l.byID {
		if old.expired(now) {
			old.stop()
			delete(l.byID, id)
		}
	}
	near := 0
	for _, other := range l.byID {
		if frame.NetworkOf(other.from) == frame.NetworkOf(s.from) && other.Outcome() == nil {
			near++
		}
	}
	if l.closed || len(l.byID) >= maxSignIns || near >= maxPerNetwork {
		return false
	}
	s.ID, s.began, s.done = people.NewID(), now, make(chan struct{})
	if s.consent != nil {
		s.Page = s.consent.URL
		s.state = stateOf(s.consent.URL)
	}
	if s.stop == nil {
		s.stop = func() {}
	}
	l.byID[s.ID] = s
	return true
}

// find returns the sign-in of an id if it belongs to the browser, or nil.
func (l *signIns) find(id, browser string) *signIn {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.byID[id]
	if s == nil || subtle.ConstantTimeCompare([]byte(s.browser), []byte(browser)) != 1 || s.expired(l.now()) {
		return nil
	}
	return s
}

// byState returns the browser's sign-in with the state of a consent page's answer,
// or nil: a stolen state is of no use in another browser.
func (l *signIns) byState(state secret.String, browser string) *signIn {
	hash := people.HashToken(state)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for _, s := range l.byID {
		if s.consent != nil && subtle.ConstantTimeCompare([]byte(s.state+s.browser), []byte(hash+browser)) == 1 && !s.expired(now) {
			return s
		}
	}
	return nil
}

// run works on a sign-in independently of the request that began it: a grant that
// the owner has just given must not be lost when the browser goes away.
func (l *signIns) run(s *signIn, bound time.Duration, work func(context.Context) *outcome) {
	ctx, cancel := context.WithTimeout(l.ctx, bound)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		cancel()
		s.end(&outcome{Failure: "connect.fail.unavailable", Again: true}, l.now())
		return
	}
	s.stop = cancel
	l.running.Go(func() {
		defer cancel()
		s.end(work(ctx), l.now())
	})
}

// stateOf returns the hash of the state in a consent page's address.
func stateOf(page string) string {
	u, err := url.Parse(page)
	if err != nil {
		return "" // matches nothing: a hash is longer
	}
	return people.HashToken(secret.String(u.Query().Get("state")))
}
