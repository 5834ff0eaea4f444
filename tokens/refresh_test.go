package tokens

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// want checks that Authorize fails with an error of one kind.
func (r *rig) want(kind error, says string) {
	r.t.Helper()
	_, err := r.authorize()
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), says) {
		r.t.Fatalf("Authorize: %v; want %v and %q", err, kind, says)
	}
	for _, other := range []error{oauth.ErrNeedsConsent, oauth.ErrRefused, oauth.ErrUnavailable, ErrBadLogin} {
		if other != kind && errors.Is(err, other) {
			r.t.Errorf("%v is %v too", err, other)
		}
	}
}

// wantCalls checks how many calls there have been.
func (r *rig) wantCalls(n int) {
	r.t.Helper()
	if got := r.endpoint.Asked(); got != n {
		r.t.Fatalf("the token endpoint was asked %d times, want %d", got, n)
	}
}

func (r *rig) wantState(want store.State) {
	r.t.Helper()
	if got := r.State(r.account()); got != want {
		r.t.Fatalf("the state is %s, want %s", got, want)
	}
}

func TestRefreshAhead(t *testing.T) {
	r := newRig(t)
	r.wantState(store.StateStale)
	first := r.mustAuthorize()
	if !first.Minted || first.Mailbox != me || first.User != me || first.Provider != r.provider || first.PasswordName != "Livespace" {
		t.Errorf("%+v", first)
	}
	r.wantState(store.StateFresh)
	for left, calls := range map[time.Duration]int{46 * time.Minute: 0, 44 * time.Minute: 1, 0: 1, -time.Hour: 1} {
		r.age(left)
		before := r.endpoint.Asked()
		g := r.mustAuthorize()
		if r.endpoint.Asked()-before != calls || g.Minted != (calls == 1) {
			t.Errorf("with %s left: %d calls, minted %v", left, r.endpoint.Asked()-before, g.Minted)
		}
	}
}

// TestRefreshAfterClockJump: a token with impossible times is stale.
func TestRefreshAfterClockJump(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		t     oauth.Token
		stale bool
	}{
		"new":                    {oauth.Token{Minted: now, Expiry: now.Add(time.Hour)}, false},
		"a neighbour's clock":    {oauth.Token{Minted: now.Add(20 * time.Second), Expiry: now.Add(time.Hour)}, false},
		"minted in the future":   {oauth.Token{Minted: now.Add(time.Hour), Expiry: now.Add(2 * time.Hour)}, true},
		"ends before it began":   {oauth.Token{Minted: now, Expiry: now.Add(-time.Hour)}, true},
		"lives for ever":         {oauth.Token{Minted: now.Add(-time.Hour), Expiry: now.Add(5000 * time.Hour * 24)}, true},
		"minted before time was": {oauth.Token{Expiry: now.Add(time.Hour)}, true},
		"names no end":           {oauth.Token{Minted: now}, false},
	} {
		c.t.Access = "a"
		if got := c.t.Stale(now, oauth.DefaultRefreshAhead); got != c.stale {
			t.Errorf("%s: stale %v", name, got)
		}
	}
	for set, want := range map[float64]float64{0: 0.75, -1: 0.75, 0.5: 0.5, 1: 0.95, 9: 0.95} {
		if got := (&oauth.Provider{RefreshAhead: set}).Ahead(); got != want {
			t.Errorf("RefreshAhead %v: %v, want %v", set, got, want)
		}
	}
}

// TestRefreshKeepsWhatAnswersLeaveOut: an answer without a refresh token, or with an
// empty one, does not remove the stored one.
func TestRefreshKeepsWhatAnswersLeaveOut(t *testing.T) {
	r := newRig(t)
	before := r.account().Token.Refresh
	for _, body := range []string{`{"access_token":"a1"}`, `{"access_token":"a2","refresh_token":""}`, `{"access_token":"a3","refresh_token":null,"scope":""}`} {
		r.endpoint.Answers(200, body)
		r.age(0)
		r.mustAuthorize()
		if got := r.account().Token; got.Refresh != before {
			t.Errorf("%s took the refresh token away", body)
		}
	}
}

func TestRefreshRotates(t *testing.T) {
	r := newRig(t)
	r.endpoint.Rotate = true
	for range 5 {
		before := r.account().Token.Refresh
		r.age(0)
		g := r.mustAuthorize()
		if !r.endpoint.Use(g.AccessToken) {
			t.Fatal("the token is not good")
		}
		if r.account().Token.Refresh == before {
			t.Fatal("the new refresh token is not kept")
		}
	}
}

// TestRefreshAfterLongWait: a refresh that waited for the lock until its time was
// over still reads the answer, which has the only valid refresh token.
func TestRefreshAfterLongWait(t *testing.T) {
	r := newRig(t)
	r.endpoint.Rotate = true
	before := r.account().Token.Refresh
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got, err := r.refresher.refreshLocked(ctx, refreshRequest{mailbox: me, providerName: "fake", provider: r.provider, stale: func(oauth.Token) bool {
		cancel() // the lock is held by now
		return true
	}})
	if err != nil || !got.issued {
		t.Fatalf("issued %v, %v", got.issued, err)
	}
	if after := r.account().Token.Refresh; after == before || after != got.token.Refresh {
		t.Error("the new refresh token is not kept")
	}
}

func TestDeadGrant(t *testing.T) {
	r := newRig(t)
	refresh := r.account().Token.Refresh
	r.endpoint.Answers(400, `{"error":"invalid_grant","error_description":"Token has been expired or revoked."}`)
	r.want(oauth.ErrNeedsConsent, "authferry connect "+me)
	a := r.account()
	if a.Dead == nil || a.Dead.Count != 1 || !strings.Contains(a.Dead.Reason, "Token has been expired or revoked.") || a.Token.Refresh != refresh {
		t.Fatalf("%+v", a.Dead)
	}
	r.wantState(store.StateNeedsConsent)
	// Logins in this process or after a restart do not call again so soon.
	other := NewVault(r.files, Settings{Providers: map[string]*oauth.Provider{"fake": r.provider}}, nil)
	other.now = r.clock.Now
	defer other.Close(context.Background())
	for range 10 {
		r.want(oauth.ErrNeedsConsent, "authferry connect "+me)
		if _, err := other.Authorize(context.Background(), r.login()); !errors.Is(err, oauth.ErrNeedsConsent) {
			t.Fatal(err)
		}
	}
	r.wantCalls(1)
	r.clock.Advance(deadRetry + time.Second)
	r.want(oauth.ErrNeedsConsent, "")
	r.wantCalls(2)
	if d := r.account().Dead; d.Count != 2 || !d.Since.Equal(a.Dead.Since) || !d.At.After(d.Since) {
		t.Errorf("%+v", d)
	}
	// Logins get the same error after an outage.
	r.clock.Advance(deadRetry + time.Second)
	r.endpoint.Answers(503, "")
	r.want(oauth.ErrNeedsConsent, "")
	// The provider reverses its answer.
	r.clock.Advance(deadRetry + time.Second)
	r.endpoint.Does(nil)
	r.mustAuthorize()
	if a := r.account(); a.Dead != nil || a.Trouble != nil {
		t.Errorf("still dead: %+v, %+v", a.Dead, a.Trouble)
	}
	r.wantState(store.StateFresh)
}

// TestDeadGrantUntilConnected: a new consent through another process is enough.
func TestDeadGrantUntilConnected(t *testing.T) {
	r := newRig(t)
	r.endpoint.Answers(400, `{"error":"invalid_grant"}`)
	r.want(oauth.ErrNeedsConsent, "")
	r.endpoint.Does(nil)
	cli := NewVault(openStore(t, r.dir), Settings{Providers: map[string]*oauth.Provider{"fake": r.provider}}, nil)
	defer cli.Close(context.Background())
	err := cli.Connect(context.Background(), Connection{Mailbox: me, Provider: "fake", Token: &oauth.Token{Access: "old", Refresh: r.endpoint.Grant(), Minted: time.Now().Add(-time.Hour), Expiry: time.Now()}})
	if err != nil {
		t.Fatal(err)
	}
	r.mustAuthorize()
	if n := len(r.account().Passwords); n != 1 {
		t.Errorf("%d passwords after connecting again", n)
	}
}

func TestRefusedByTheEndpoint(t *testing.T) {
	r := newRig(t)
	r.endpoint.Answers(401, `{"error":"invalid_client","error_description":"The OAuth client was deleted."}`)
	for range 5 {
		r.want(oauth.ErrRefused, "The OAuth client was deleted.")
	}
	r.wantCalls(1)
	if a := r.account(); a.Dead != nil || a.Trouble == nil {
		t.Errorf("dead %+v, trouble %+v", a.Dead, a.Trouble)
	}
	// A repaired configuration counts at once.
	r.endpoint.Does(nil)
	r.Configure(*r.settings.Load())
	r.mustAuthorize()
}

func TestProviderNotConfigured(t *testing.T) {
	r := newRig(t)
	r.Configure(Settings{})
	r.want(oauth.ErrRefused, "[provider.fake]")
}

// TestBackOff: a failing endpoint is called more and more rarely, and each failure is
// written once.
func TestBackOff(t *testing.T) {
	r := newRig(t)
	r.endpoint.Answers(503, "down")
	var last time.Duration
	for step := 1; step <= 12; step++ {
		r.want(oauth.ErrUnavailable, "503 Service Unavailable")
		for range 3 {
			r.want(oauth.ErrUnavailable, "503 Service Unavailable")
		}
		r.wantCalls(step)
		if tr := r.account().Trouble; tr == nil || tr.Count != step {
			t.Fatalf("step %d: %+v", step, tr)
		}
		r.wantState(store.StateUnreachable)
		var wait time.Duration
		r.refresher.withState(me, func(s *mailboxState) {
			wait = s.retryAfter.window.from.Add(s.retryAfter.window.length).Sub(r.clock.Now())
		})
		if wait > maxBackoff || wait < last/2 {
			t.Fatalf("step %d waits %s after %s", step, wait, last)
		}
		last = wait
		r.clock.Advance(wait + time.Millisecond)
	}
	if last < maxBackoff*7/10 {
		t.Errorf("after twelve failures it waits %s only", last)
	}
	r.endpoint.Does(nil)
	r.mustAuthorize()
	if r.account().Trouble != nil {
		t.Error("the trouble outlives it")
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	r := newRig(t)
	r.endpoint.Answers(429, `{"error":"rate_limit_exceeded"}`, "Retry-After", "1000")
	r.want(oauth.ErrUnavailable, "rate_limit_exceeded")
	r.endpoint.Does(nil)
	r.clock.Advance(990 * time.Second)
	r.want(oauth.ErrUnavailable, "rate_limit_exceeded")
	r.clock.Advance(11 * time.Second)
	r.mustAuthorize()
	r.wantCalls(2)
}

// TestCachedTokenServesThroughTrouble: while the cached token is valid, no answer of
// the endpoint fails a login.
func TestCachedTokenServesThroughTrouble(t *testing.T) {
	for _, answer := range []struct {
		status int
		body   string
	}{{400, `{"error":"invalid_grant"}`}, {401, `{"error":"invalid_client"}`}, {503, ""}, {200, "<html>"}} {
		r := newRig(t)
		r.mustAuthorize()
		r.age(10 * time.Minute)
		r.endpoint.Answers(answer.status, answer.body)
		for range 3 {
			if g := r.mustAuthorize(); g.Minted {
				t.Errorf("%v: a cached token passes for a new one", answer)
			}
		}
		r.wantCalls(2)
		r.age(30 * time.Second)
		if _, err := r.authorize(); err == nil || errors.Is(err, ErrBadLogin) {
			t.Errorf("%v: with half a minute left: %v", answer, err)
		}
	}
}

// TestSlowRefreshDoesNotHoldLogins: a login with a cached token that has minutes left
// goes on, and the refresh completes after it.
func TestSlowRefreshDoesNotHoldLogins(t *testing.T) {
	r := newRig(t)
	old := r.mustAuthorize()
	r.age(10 * time.Minute)
	r.refresher.maxWait = time.Millisecond
	arrived, release := r.endpoint.Stall()
	defer release()
	for range 5 {
		g := r.mustAuthorize()
		if g.Minted || g.AccessToken != old.AccessToken {
			t.Fatal("not the cached token")
		}
	}
	<-arrived
	r.wantState(store.StateRefreshing)
	release()
	r.refresher.running.Wait()
	g := r.mustAuthorize()
	if g.AccessToken == old.AccessToken || g.Minted {
		t.Error("the refresh did not complete behind the login")
	}
	r.wantCalls(2)
}

// TestOneWaiterLeaves: a client that hangs up does not end the wait of others.
func TestOneWaiterLeaves(t *testing.T) {
	r := newRig(t)
	arrived, release := r.endpoint.Stall()
	defer release()
	ctx, cancel := context.WithCancel(context.Background())
	left, stayed := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := r.Authorize(ctx, r.login())
		left <- err
	}()
	<-arrived
	go func() {
		_, err := r.authorize()
		stayed <- err
	}()
	cancel()
	if err := <-left; !errors.Is(err, oauth.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("who left: %v", err)
	}
	release()
	if err := <-stayed; err != nil {
		t.Errorf("who stayed: %v", err)
	}
	r.wantCalls(1)
}

// TestAnotherProcessRefreshed: a token that another process wrote is used.
func TestAnotherProcessRefreshed(t *testing.T) {
	r := newRig(t)
	other := NewVault(openStore(t, r.dir), Settings{Providers: map[string]*oauth.Provider{"fake": r.provider}}, nil)
	defer other.Close(context.Background())
	arrived, release := r.endpoint.Stall()
	defer release()
	type result struct {
		g   *Grant
		err error
	}
	results := make(chan result, 2)
	for _, v := range []*Vault{r.Vault, other} {
		go func() {
			g, err := v.Authorize(context.Background(), r.login())
			results <- result{g, err}
		}()
	}
	<-arrived
	release()
	a, b := <-results, <-results
	if a.err != nil || b.err != nil {
		t.Fatal(a.err, b.err)
	}
	if a.g.AccessToken != b.g.AccessToken || a.g.Minted == b.g.Minted {
		t.Errorf("two tokens, or one minted twice: %v %v", a.g.Minted, b.g.Minted)
	}
	r.wantCalls(1)
}

func TestStoreUnavailable(t *testing.T) {
	r := newRig(t)
	path := r.file(me)
	if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.want(oauth.ErrUnavailable, path)
	if r.Revoked(context.Background(), &Grant{Mailbox: me, PasswordID: "x"}) {
		t.Error("a store that cannot be read revokes")
	}
	r.Close(context.Background())
}

// TestRemovedMeanwhile: a mailbox removed during its refresh does not return.
func TestRemovedMeanwhile(t *testing.T) {
	r := newRig(t)
	a := r.account()
	if _, err := r.Remove(context.Background(), me, Removal{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.refresher.token(context.Background(), r.provider, a); !errors.Is(err, oauth.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	r.wantCalls(0)
	if _, err := r.files.Get(context.Background(), me); !errors.Is(err, store.ErrNoMailbox) {
		t.Errorf("it came back: %v", err)
	}
	r.want(ErrBadLogin, "there is no mailbox")
}
