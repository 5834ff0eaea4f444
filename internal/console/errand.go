package console

import (
	"context"
	"crypto/subtle"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"authferry/internal/secret"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

const (
	// errandLife is how long somebody may take at the provider's pages: finding
	// another password, a second factor, an administrator who must allow it.
	errandLife = 20 * time.Minute
	// outcomeLife is how long the outcome can be looked at again, in the browser
	// that brought it about: with it goes a password that is shown.
	outcomeLife = 10 * time.Minute
	// mostErrands are remembered at a time, of everybody.
	mostErrands = 2000
	// mostErrandsNear are under way at a time from one network: an office behind
	// one address.
	mostErrandsNear = 60
	// finishTime bounds the exchange of a code and the login that proves it.
	finishTime = 90 * time.Second
)

// errand is one sign-in at a provider: begun in a browser, away at the
// provider's pages, and come back to the same browser.
type errand struct {
	ID       string // in addresses; of use only together with the browser's cookie
	Mailbox  string // to connect; empty: any that the invitation is for
	SignIn   string // who signs in, if not as the mailbox itself
	Provider *oauth.Provider

	Invitation *Invitation // nil: somebody who is signed in here connects it
	untried    bool        // keep a grant even where it cannot be tried out now
	from       netip.Addr
	browser    string // hash of the cookie that it belongs to
	began      time.Time

	consent  *oauth.Consent // nil: by a device code, or by nobody
	state    string         // hash of the consent's
	Device   *oauth.Device
	Page     string // the provider's, to be opened
	Paste    bool   // the redirected address is to be pasted
	Redirect string // where the provider sends the browser

	mu       sync.Mutex
	left     bool // the browser was sent to the provider
	answered bool // somebody came back: no second time
	ended    time.Time
	outcome  *outcome
	done     chan struct{} // closed with the outcome
	stop     context.CancelFunc
}

// outcome is what came of an errand.
type outcome struct {
	Mailbox  string // connected; empty: none was
	Untried  string // why the grant could not be tried out
	Grant    time.Time
	Password secret.String // to be shown, until it is forgotten
	Made     *tokens.PasswordSpec

	Failure string // key of a text
	Pairs   []any  // for it
	Detail  string // in the words of the provider or of our log, in English
	Again   bool   // whether signing in again may help
}

// person is who is to sign in; empty: whoever it will be.
func (e *errand) Person() string {
	if e.SignIn != "" {
		return e.SignIn
	}
	return e.Mailbox
}

// take is for the one who goes on with what a browser brought back.
func (e *errand) take() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.answered {
		return false
	}
	e.answered = true
	return true
}

// Outcome is what came of it; nil: nothing yet.
func (e *errand) Outcome() *outcome {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.outcome
}

// Answered tells whether somebody came back.
func (e *errand) Answered() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.answered
}

func (e *errand) end(o *outcome, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.outcome, e.ended = o, now
	close(e.done)
}

// forget takes the password out of the outcome.
func (e *errand) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.outcome != nil {
		seen := *e.outcome
		seen.Password = ""
		e.outcome = &seen
	}
}

// over tells whether nobody is waiting for it any more.
func (e *errand) over(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.outcome != nil {
		return now.Sub(e.ended) > outcomeLife
	}
	if e.Device != nil { // as long as its code is good, and asked after
		return now.After(e.Device.Expires.Add(finishTime))
	}
	return !e.answered && now.Sub(e.began) > errandLife
}

// errands are those under way. They are remembered here and not in the store:
// what belongs to them (a verifier, a password to be shown) is nobody's to read
// later, and after a restart people sign in again.
type errands struct {
	mu      sync.Mutex
	byID    map[string]*errand
	now     func() time.Time
	ctx     context.Context // ends with the console
	cancel  context.CancelFunc
	running sync.WaitGroup
	closed  bool
}

func newErrands(now func() time.Time) *errands {
	ctx, cancel := context.WithCancel(context.Background())
	return &errands{byID: map[string]*errand{}, now: now, ctx: ctx, cancel: cancel}
}

// close ends what is under way, and waits for it.
func (l *errands) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cancel()
	l.running.Wait()
}

// add remembers an errand, if there is room: altogether, and for where its
// browser is, since anybody with an invitation may begin one after the other.
func (l *errands) add(e *errand) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for id, old := range l.byID {
		if old.over(now) {
			old.stop()
			delete(l.byID, id)
		}
	}
	near := 0
	for _, other := range l.byID {
		if networkOf(other.from) == networkOf(e.from) && other.Outcome() == nil {
			near++
		}
	}
	if l.closed || len(l.byID) >= mostErrands || near >= mostErrandsNear {
		return false
	}
	e.ID, e.began, e.done = newID(), now, make(chan struct{})
	if e.consent != nil {
		e.Page = e.consent.URL
		e.state = stateOf(e.consent.URL)
	}
	if e.stop == nil {
		e.stop = func() {}
	}
	l.byID[e.ID] = e
	return true
}

// find returns an errand of a browser's, nil if it has none of this id.
func (l *errands) find(id, browser string) *errand {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.byID[id]
	if e == nil || subtle.ConstantTimeCompare([]byte(e.browser), []byte(browser)) != 1 || e.over(l.now()) {
		return nil
	}
	return e
}

// returned finds the errand that an answer of a consent page belongs to, by its
// state, among those of the browser that brings it: a state that was stolen is
// of no use in another.
func (l *errands) returned(state secret.String, browser string) *errand {
	hash := hashToken(state)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for _, e := range l.byID {
		if e.consent != nil && subtle.ConstantTimeCompare([]byte(e.state+e.browser), []byte(hash+browser)) == 1 && !e.over(now) {
			return e
		}
	}
	return nil
}

// run works on an errand beside the request that began it: a browser that goes
// away must not take a grant with it that its owner has just given.
func (l *errands) run(e *errand, bound time.Duration, work func(context.Context) *outcome) {
	ctx, cancel := context.WithTimeout(l.ctx, bound)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		cancel()
		e.end(&outcome{Failure: "connect.fail.unavailable", Again: true}, l.now())
		return
	}
	e.stop = cancel
	l.running.Go(func() {
		defer cancel()
		e.end(work(ctx), l.now())
	})
}

// stateOf is the hash of the state in a consent page's address.
func stateOf(page string) string {
	u, err := url.Parse(page)
	if err != nil {
		return "" // matches nothing: a hash is longer
	}
	return hashToken(secret.String(u.Query().Get("state")))
}
