package tokens

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"

	"authferry/internal/secret"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// refresher keeps the access tokens of all mailboxes fresh. Each mailbox is a
// state machine, whose states people see as [store.State]:
//
//	Connect --> fresh --(1)--> stale --(2)--> refreshing
//	              ^                              |   ^
//	              +-------------(3)--------------+   |
//	              unreachable <-------(4)--------+   |
//	                   +--------------(2)--------|---+
//	              needs-consent <-----(5)--------+   |
//	                   +--------------(2)------------+
//
// What happens, what is written to the store, and what a login gets:
//
//  1. Less than the share [oauth.Provider.Ahead] of the token's life is left.
//     Nothing is written.
//  2. A login needs a new token, or a session whose token the provider rejected;
//     [Vault.KeepAlive] and people ask for one in any state. One refresh of a
//     mailbox runs at a time, in all processes that share the store, because it
//     runs inside [store.Store.Update].
//     A login waits for its end; if the cached token has at least ampleLife left,
//     it waits for maxWait at most and then gets that one. From unreachable and
//     needs-consent no refresh starts before the back-off is over: until then
//     logins get the error of the last attempt.
//  3. The provider issued a token. It is written, with Dead and Trouble cleared,
//     before logins get it. If the store does not take it, it stays in memory as
//     the unsaved token, logins get ErrUnavailable, and the next refresh writes it
//     before anything else (applyUnsaved).
//  4. The provider is down, limits the rate, or refuses the OAuth client. Trouble
//     is written, Token stays. Logins get ErrUnavailable or ErrRefused. The
//     back-off doubles in memory, or lasts as long as the provider asked for.
//  5. The provider demands the owner's consent. Dead is written, Token stays:
//     providers have reversed such answers, so the refresh token is tried again.
//     Logins get ErrNeedsConsent, even if a later attempt ends as in 4. The
//     back-off is deadRetry, in every process.
//
// In 4 and 5 a login still gets the cached token while that has minLife left and
// the provider has not rejected it. [Vault.Connect] leads from every state to
// fresh, or to stale if the grant came without an access token. [Vault.Remove]
// leads to disconnected, where nothing can be refreshed.
type refresher struct {
	store   store.Store
	log     *zap.Logger
	now     func() time.Time
	maxWait time.Duration

	counter refreshCounter
	flights singleflight.Group // the refreshes under way, by refreshRequest.key

	mu        sync.Mutex
	mailboxes map[string]*mailboxState
	closed    bool
	running   sync.WaitGroup // refreshes under way
}

const (
	// lockTimeout, plus the time that one call may take, bounds the wait for
	// another process that refreshes the same mailbox.
	lockTimeout = 10 * time.Second
	// minLife is how much life a cached token must have left to serve a login
	// for which there is no better one.
	minLife = time.Minute
	// ampleLife is how much life left lets a login go on with the cached token
	// after maxWait, although a refresh is under way.
	ampleLife = 5 * time.Minute
	maxWait   = 5 * time.Second
	// deadRetry is the back-off after the provider demanded consent, the next ones
	// are those after other failures.
	deadRetry  = 5 * time.Minute
	minBackoff = time.Second
	maxBackoff = 5 * time.Minute
	// The back-off after the provider rejected a token that it had just issued.
	minRejection = 30 * time.Second
	maxRejection = 10 * time.Minute
)

func newRefresher(s store.Store, log *zap.Logger, now func() time.Time) *refresher {
	return &refresher{store: s, log: log, now: now, maxWait: maxWait, mailboxes: map[string]*mailboxState{}}
}

// mailboxState is what this process knows of a mailbox beyond the store. Every
// failure in it names its token or grant, so that a grant which another process
// connects is not held to the failures of its predecessor.
type mailboxState struct {
	refreshing int // refreshes under way
	unsaved    *unsavedToken
	retryAfter retryAfter
	// rejectedToken is a cached access token that the provider rejected although
	// it had life left. It is not used again.
	rejectedToken secret.String
	rejection     rejection
}

// unsavedToken is a token that the store did not take: it exists only here.
type unsavedToken struct {
	token    oauth.Token
	replaces secret.String // the access token in the store: another one there is newer
	provider string
}

// retryAfter keeps logins from calling the token endpoint after a failure.
type retryAfter struct {
	grant    grantID // that failed
	failures int     // in a row
	window   window
	ordered  bool  // by the provider
	err      error // what logins get meanwhile
}

// grantID identifies a grant of a mailbox. Grants of flows without a person have
// no refresh token, so they differ in the time of connection.
type grantID struct {
	provider  string
	refresh   secret.String
	connected int64
}

func grantIDOf(a *store.Account) grantID {
	return grantID{a.Provider, a.Token.Refresh, a.Connected.UnixNano()}
}

// rejection notes that the provider rejected a token that it had just issued, so
// that another new token would not help.
type rejection struct {
	access secret.String
	window window
}

// refreshRequest names a mailbox and says when its token needs replacing.
type refreshRequest struct {
	key          string // requests with one key at one time share one refresh
	mailbox      string
	providerName string // as the account has it
	provider     *oauth.Provider
	byPerson     bool // who wants an answer now, and not the error of the last attempt
	stale        func(oauth.Token) bool
}

// request returns a refreshRequest for an account; purpose completes its key.
func request(a *store.Account, p *oauth.Provider, purpose string, stale func(oauth.Token) bool) refreshRequest {
	return refreshRequest{key: a.Mailbox + " " + purpose, mailbox: a.Mailbox, providerName: a.Provider, provider: p, stale: stale}
}

// refreshResult is the outcome of a refresh. issued is false for a token that was
// there already: another login or process had refreshed it.
type refreshResult struct {
	token  oauth.Token
	issued bool
}

// token returns an access token for a login: the cached one while it is fresh,
// otherwise the result of a refresh, otherwise the cached one if it has enough
// life left.
func (r *refresher) token(ctx context.Context, p *oauth.Provider, a *store.Account) (refreshResult, error) {
	cached, now := a.Token, r.now()
	var remaining time.Duration // life of the cached token, if it may be used
	var stale, rejected bool
	var backoff error
	r.withState(a.Mailbox, func(s *mailboxState) {
		if s.rejectedToken != cached.Access {
			remaining = cached.Left(now)
		}
		stale = s.unsaved != nil || remaining <= 0 || cached.Stale(now, p.Ahead())
		rejected = s.rejection.access == cached.Access && s.rejection.window.contains(now)
		if s.unsaved == nil { // otherwise this is about the store, not the endpoint
			backoff = s.backoffError(a, now)
		}
	})
	if !stale {
		// A rejected new token passes for one that was just issued: see rejectedNew.
		return refreshResult{cached, rejected}, nil
	}
	result, err := refreshResult{}, backoff
	if err == nil {
		result, err = r.refreshForLogin(ctx, p, a, remaining)
	}
	if err != nil && ctx.Err() == nil && remaining-r.now().Sub(now) >= minLife {
		return refreshResult{token: cached}, nil
	}
	return result, err
}

func (r *refresher) refreshForLogin(ctx context.Context, p *oauth.Provider, a *store.Account, remaining time.Duration) (refreshResult, error) {
	if remaining >= ampleLife {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.maxWait)
		defer cancel()
	}
	return r.refresh(ctx, request(a, p, "login", func(t oauth.Token) (stale bool) {
		r.withState(a.Mailbox, func(s *mailboxState) {
			stale = t.Stale(r.now(), p.Ahead()) || s.rejectedToken == t.Access
		})
		return stale
	}))
}

// renew replaces a cached token that the provider rejected. If another login has
// replaced it already, that token is returned without a call.
func (r *refresher) renew(ctx context.Context, p *oauth.Provider, a *store.Account, rejected secret.String) (oauth.Token, error) {
	unusable := func(t oauth.Token) bool { return t.Access == rejected || t.Left(r.now()) < minLife }
	if !unusable(a.Token) {
		return a.Token, nil
	}
	var backoff error
	r.withState(a.Mailbox, func(s *mailboxState) {
		s.rejectedToken = rejected
		if s.unsaved == nil {
			backoff = s.backoffError(a, r.now())
		}
	})
	if backoff != nil {
		return oauth.Token{}, backoff
	}
	result, err := r.refresh(ctx, request(a, p, "renew "+rejected.Reveal(), unusable))
	return result.token, err
}

// rejectedNew notes that the provider rejected a token that it had just issued.
// A refresh does not help then, so for a while logins get the cached token as if
// it had been issued for them, and do not renew it. The time doubles while the
// provider goes on. A token that is issued meanwhile is tried at once.
func (r *refresher) rejectedNew(mailbox string, access secret.String) {
	now := r.now()
	r.withState(mailbox, func(s *mailboxState) {
		last, delay := s.rejection, minRejection
		recent := window{last.window.from, last.window.length + 2*maxRejection}
		switch {
		case last.window.contains(now) && last.access == access:
			return // the same rejection, reported by another session
		case recent.contains(now):
			delay = min(2*last.window.length, maxRejection)
		}
		s.rejection = rejection{access, window{now, delay}}
	})
}

// refreshNow replaces the token for a person who asks for it, whatever its age.
func (r *refresher) refreshNow(ctx context.Context, p *oauth.Provider, a *store.Account) (oauth.Token, error) {
	seen := a.Token.Access
	req := request(a, p, "now "+seen.Reveal(), func(t oauth.Token) bool { return t.Access == seen })
	req.byPerson = true
	result, err := r.refresh(ctx, req)
	return result.token, err
}

// refreshUnused replaces the token of a grant that no login uses, unless it has
// changed since the account was read.
func (r *refresher) refreshUnused(ctx context.Context, p *oauth.Provider, a *store.Account) error {
	seen := a.Token
	_, err := r.refresh(ctx, request(a, p, "unused", func(t oauth.Token) bool {
		return t.Access == seen.Access && t.Refresh == seen.Refresh
	}))
	return err
}

// refresh replaces a mailbox's token if it is stale, and waits for that until ctx
// ends. The refresh itself does not end with ctx: others may wait for it, and a
// refresh token that the provider replaced must not be lost.
func (r *refresher) refresh(ctx context.Context, req refreshRequest) (refreshResult, error) {
	flight := r.flights.DoChan(req.key, func() (any, error) {
		if !r.begin(req.mailbox) {
			return refreshResult{}, fmt.Errorf("%w: shutting down", oauth.ErrUnavailable)
		}
		defer r.end(req.mailbox)
		ctx, cancel := context.WithTimeout(context.Background(), lockTimeout+req.provider.CallTimeout())
		defer cancel()
		return r.refreshLocked(ctx, req)
	})
	select {
	case done := <-flight:
		result, _ := done.Val.(refreshResult)
		return result, done.Err
	case <-ctx.Done():
		return refreshResult{}, waitCancelled(ctx, req.mailbox)
	}
}

// waitCancelled reports that the context ended before the refresh did.
func waitCancelled(ctx context.Context, mailbox string) error {
	return fmt.Errorf("%w: waiting for the token of %s: %w", oauth.ErrUnavailable, mailbox, ctx.Err())
}

// begin counts a refresh under way. It returns false if the refresher is closed.
func (r *refresher) begin(mailbox string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.running.Add(1)
	r.state(mailbox).refreshing++
	return true
}

func (r *refresher) end(mailbox string) {
	r.withState(mailbox, func(s *mailboxState) { s.refreshing-- })
	r.running.Done()
}

// refreshLocked is the refresh inside the store's lock. Another process may have
// held the lock and refreshed the token, so everything is checked again.
func (r *refresher) refreshLocked(ctx context.Context, req refreshRequest) (refreshResult, error) {
	var result refreshResult
	var failure error // not an error of the edit, so that the store keeps it
	err := r.store.Update(ctx, req.mailbox, func(a *store.Account) error {
		if a.Provider != req.providerName {
			return fmt.Errorf("%s was removed, or connected to another provider, during the refresh", req.mailbox)
		}
		saved := a.Token.Access
		applied := r.applyUnsaved(a)
		if !req.stale(a.Token) {
			result.token = a.Token
			return skipWrite(!applied)
		}
		if failure = r.backoffError(a, req); failure != nil {
			return skipWrite(!applied)
		}
		token, err := r.issue(ctx, req.provider, a)
		r.counter.note(req.provider, err)
		if err != nil {
			failure = r.failed(a, req.provider, err)
			return nil
		}
		r.withState(req.mailbox, func(s *mailboxState) { s.unsaved = &unsavedToken{token, saved, req.providerName} })
		a.Token, a.Dead, a.Trouble = token, nil, nil
		result = refreshResult{token, true}
		return nil
	})
	if err == nil {
		r.saved(req.mailbox, result)
	} else if !errors.Is(err, errUnchanged) && failure == nil {
		r.log.Error("the token of a mailbox could not be written down", zap.String("mailbox", req.mailbox), zap.Error(err))
		return refreshResult{}, fmt.Errorf("%w: %w", oauth.ErrUnavailable, err)
	}
	return result, failure
}

// issue asks the provider for a token. The call has a time of its own: if it were
// cut off because the wait for the lock took long, the provider might have
// replaced the refresh token in an answer that was never read.
func (r *refresher) issue(ctx context.Context, p *oauth.Provider, a *store.Account) (oauth.Token, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.CallTimeout())
	defer cancel()
	return p.Refresh(ctx, a.Token, cmp.Or(a.SignIn, a.Mailbox), r.now())
}

var errUnchanged = errors.New("nothing to change")

// skipWrite returns the error that ends an edit without a write if it changed nothing.
func skipWrite(unchanged bool) error {
	if unchanged {
		return errUnchanged
	}
	return nil
}

// applyUnsaved puts the token that the store did not take into the account, and
// reports whether there was one.
func (r *refresher) applyUnsaved(a *store.Account) (applied bool) {
	r.withState(a.Mailbox, func(s *mailboxState) {
		if s.unsaved == nil {
			return
		}
		if s.unsaved.replaces != a.Token.Access || s.unsaved.provider != a.Provider {
			s.unsaved = nil
			return
		}
		a.Token, a.Dead, a.Trouble = s.unsaved.token, nil, nil
		applied = true
	})
	return applied
}

// saved notes that the store took what it was given.
func (r *refresher) saved(mailbox string, result refreshResult) {
	r.withState(mailbox, func(s *mailboxState) {
		s.unsaved = nil
		if result.issued {
			s.retryAfter, s.rejectedToken = retryAfter{}, ""
		}
	})
	if result.issued {
		r.log.Info("token refreshed", zap.String("mailbox", mailbox), zap.Time("expiry", result.token.Expiry))
	}
}

// failed writes a failed attempt into the account, begins the back-off, and
// returns the error that logins get until the next attempt.
func (r *refresher) failed(a *store.Account, p *oauth.Provider, err error) error {
	now := r.now()
	kind, cause, ordered := oauth.ErrUnavailable, oauth.CauseUnknown, time.Duration(0)
	if e, ok := errors.AsType[*oauth.EndpointError](err); ok {
		ordered = e.RetryAfter
		if e.Kind != nil {
			cause, kind = p.Diagnose(a.Token, a.Connected, e, now)
		}
	}
	result := oauth.NewError(kind, a.Mailbox, p, cause, err.Error())
	log := r.log.With(zap.String("mailbox", a.Mailbox), zap.String("provider", a.Provider),
		zap.String("cause", string(cause)), zap.Error(err), zap.String("fix", result.Advice.Fix))
	next := retryAfter{grant: grantIDOf(a), failures: 1, window: window{now, deadRetry}}
	r.withState(a.Mailbox, func(s *mailboxState) {
		if s.retryAfter.grant == next.grant {
			next.failures += s.retryAfter.failures
		}
	})
	if kind == oauth.ErrNeedsConsent {
		a.Dead = a.Dead.Next(now, err, cause)
		log.Error("the mailbox must be connected again", zap.Int("times", a.Dead.Count))
	} else {
		a.Trouble = a.Trouble.Next(now, err, cause)
		next.window.length, next.ordered = backoffDelay(next.failures, ordered), ordered > 0
		log.Warn("token not refreshed")
	}
	switch {
	case kind == oauth.ErrNeedsConsent: // the provider's words are the reason
	case kind == oauth.ErrRefused:
		result.Reason = fmt.Sprintf("no token for %s: %v", a.Mailbox, err)
	case a.Dead != nil: // a temporary failure does not revive the grant
		result = needsConsent(a.Dead, a.Mailbox, p)
	default:
		result.Err = err
	}
	next.err = result
	r.withState(a.Mailbox, func(s *mailboxState) { s.retryAfter = next })
	return result
}

// needsConsent returns the error of a dead grant.
func needsConsent(f *store.Failure, mailbox string, p *oauth.Provider) *oauth.Error {
	cause := f.Cause
	if cause == oauth.CauseUnknown { // written by a version without causes
		cause = oauth.CauseRevoked
	}
	return oauth.NewError(oauth.ErrNeedsConsent, mailbox, p, cause, f.Reason)
}

// backoffDelay doubles with the number of failures in a row. Its jitter keeps the
// mailboxes of one provider from retrying in step.
func backoffDelay(failures int, ordered time.Duration) time.Duration {
	delay := maxBackoff
	if failures < 10 {
		delay = min(maxBackoff, minBackoff<<max(failures-1, 0))
	}
	delay -= rand.N(delay / 4)
	return max(delay, ordered)
}

// backoffError returns the error of the last attempt if the endpoint must not be
// called yet. The back-off of a dead grant is read from the store, so it holds for
// every process.
func (r *refresher) backoffError(a *store.Account, req refreshRequest) (err error) {
	now := r.now()
	if a.Dead != nil && !req.byPerson && (window{a.Dead.At, deadRetry}).contains(now) {
		return needsConsent(a.Dead, a.Mailbox, req.provider)
	}
	r.withState(a.Mailbox, func(s *mailboxState) {
		if !req.byPerson || s.retryAfter.ordered {
			err = s.backoffError(a, now)
		}
	})
	return err
}

func (s *mailboxState) backoffError(a *store.Account, now time.Time) error {
	if s.retryAfter.grant != grantIDOf(a) || !s.retryAfter.window.contains(now) {
		return nil
	}
	return s.retryAfter.err
}

// stateOf returns the state of a mailbox as people see it.
func (r *refresher) stateOf(a *store.Account, ahead float64) store.State {
	refreshing := false
	r.withState(a.Mailbox, func(s *mailboxState) { refreshing = s.refreshing > 0 })
	switch {
	case a.Provider == "":
		return store.StateDisconnected
	case a.Dead != nil:
		return store.StateNeedsConsent
	case refreshing:
		return store.StateRefreshing
	case a.Trouble != nil:
		return store.StateUnreachable
	case a.Token.Stale(r.now(), ahead):
		return store.StateStale
	}
	return store.StateFresh
}

// connected ends the back-off of a mailbox that has a new grant.
func (r *refresher) connected(mailbox string) {
	r.withState(mailbox, func(s *mailboxState) { s.retryAfter = retryAfter{} })
}

// removed drops the state of a mailbox that is gone.
func (r *refresher) removed(mailbox string) {
	r.withState(mailbox, func(s *mailboxState) { *s = mailboxState{refreshing: s.refreshing} })
}

// reconfigured ends every back-off: the new settings may have removed the reason.
func (r *refresher) reconfigured() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.mailboxes {
		s.retryAfter = retryAfter{}
	}
}

// withState calls f with the state of a mailbox, under the lock.
func (r *refresher) withState(mailbox string, f func(*mailboxState)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r.state(mailbox))
}

// state returns the state of a mailbox. The caller holds the lock.
func (r *refresher) state(mailbox string) *mailboxState {
	s := r.mailboxes[mailbox]
	if s == nil {
		s = &mailboxState{}
		r.mailboxes[mailbox] = s
	}
	return s
}

// saveAll writes the tokens that the store has not taken so far.
func (r *refresher) saveAll(ctx context.Context) error {
	r.mu.Lock()
	var mailboxes []string
	for mailbox, s := range r.mailboxes {
		if s.unsaved != nil {
			mailboxes = append(mailboxes, mailbox)
		}
	}
	r.mu.Unlock()
	var errs []error
	for _, mailbox := range mailboxes {
		err := r.store.Update(ctx, mailbox, func(a *store.Account) error {
			return skipWrite(a.Provider == "" || !r.applyUnsaved(a))
		})
		if err == nil {
			r.saved(mailbox, refreshResult{})
		} else if !errors.Is(err, errUnchanged) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// close refuses new refreshes and waits for those under way.
func (r *refresher) close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	done := make(chan struct{})
	go func() {
		r.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for refreshes under way: %w", ctx.Err())
	}
}

// window is a length of time from a moment on.
type window struct {
	from   time.Time
	length time.Duration
}

// contains reports whether now is in the window by both clocks, since either may
// be wrong: the monotonic clock stands still while the machine sleeps, and the
// wall clock may be set. A wall clock before the beginning was set back; then the
// window is over, so that it never lasts longer than intended.
func (w window) contains(now time.Time) bool {
	passed := now.Round(0).Sub(w.from.Round(0))
	return passed >= 0 && passed < w.length && now.Sub(w.from) < w.length
}
