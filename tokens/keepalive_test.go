package tokens

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"authferry/tokens/oauth"
	"authferry/tokens/oauth/oauthtest"
	"authferry/tokens/store"
)

const day = 24 * time.Hour

// unused sets how long the grant has been unused.
func (r *rig) unused(age time.Duration) {
	r.t.Helper()
	err := r.files.Update(r.t.Context(), me, func(a *store.Account) error {
		a.Token.Minted = r.clock.Now().Add(-age).UTC().Round(0)
		a.Token.Expiry = a.Token.Minted.Add(time.Hour)
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func TestKeepAliveRefreshesUnusedGrants(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		age   time.Duration
		calls int
	}{{time.Hour, 0}, {26 * day, 0}, {30 * day, 1}, {400 * day, 1}, {-time.Hour, 1}} {
		r.unused(c.age)
		before := r.endpoint.Asked()
		for range 3 {
			r.keepAlive.checkAll(t.Context())
		}
		if n := r.endpoint.Asked() - before; n != c.calls {
			t.Errorf("unused for %s: %d calls, want %d", c.age, n, c.calls)
		}
	}
	r.provider.KeepAlive = 2 * day
	r.unused(2 * day)
	before := r.endpoint.Asked()
	r.keepAlive.checkAll(t.Context())
	if r.endpoint.Asked() != before+1 || !r.endpoint.Use(r.account().Token.Access) {
		t.Error("the time of the configuration does not count")
	}
}

func TestKeepAliveIsSpread(t *testing.T) {
	p, seen := &oauth.Provider{KeepAlive: 100 * day}, map[time.Duration]bool{}
	for i := range 100 {
		mailbox := fmt.Sprintf("m%d@example.org", i)
		d := keepAliveAfter(p, mailbox)
		if d != keepAliveAfter(p, mailbox) || d > 100*day || d < 90*day {
			t.Fatalf("%s", d)
		}
		seen[d] = true
	}
	if len(seen) < 50 {
		t.Errorf("only %d different times", len(seen))
	}
	if d := keepAliveAfter(&oauth.Provider{}, me); d > oauth.DefaultKeepAlive || d < oauth.DefaultKeepAlive*9/10 {
		t.Errorf("by default %s", d)
	}
}

// TestKeepAliveDeadGrants: a dead grant is tried again rarely, and revived when the
// provider reverses its answer.
func TestKeepAliveDeadGrants(t *testing.T) {
	r := newRig(t)
	r.endpoint.Answers(400, `{"error":"invalid_grant"}`)
	r.want(oauth.ErrNeedsConsent, "")
	r.keepAlive.checkAll(t.Context())
	r.clock.Advance(keepAliveDead / 2)
	r.keepAlive.checkAll(t.Context())
	r.wantCalls(1)
	r.clock.Advance(keepAliveDead)
	r.keepAlive.checkAll(t.Context())
	r.keepAlive.checkAll(t.Context())
	r.wantCalls(2)
	r.wantState(store.StateNeedsConsent)
	r.endpoint.Does(nil)
	r.clock.Advance(keepAliveDead)
	r.keepAlive.checkAll(t.Context())
	r.wantCalls(3)
	r.wantState(store.StateFresh)
}

// TestKeepAliveThroughTrouble: an endpoint that is down is not called at every
// check, and the grant stays as it was.
func TestKeepAliveThroughTrouble(t *testing.T) {
	r := newRig(t)
	refresh := r.account().Token.Refresh
	r.unused(40 * day)
	r.endpoint.Answers(503, "")
	for range 12 { // two hours
		r.keepAlive.checkAll(t.Context())
		r.clock.Advance(keepAliveEvery)
	}
	if n := r.endpoint.Asked(); n < 2 || n > 3 {
		t.Errorf("%d calls in two hours", n)
	}
	if a := r.account(); a.Dead != nil || a.Token.Refresh != refresh {
		t.Errorf("%+v", a.Dead)
	}
}

// TestKeepAliveSkips: mailboxes without a refresh token, disconnected ones, and
// those of a provider that is gone.
func TestKeepAliveSkips(t *testing.T) {
	r := newRig(t)
	r.unused(40 * day)
	r.provider.Flow = oauth.FlowServiceAccount
	r.keepAlive.checkAll(t.Context())
	r.provider.Flow = oauth.FlowConsent
	r.Configure(Settings{})
	r.keepAlive.checkAll(t.Context())
	r.Configure(Settings{Providers: map[string]*oauth.Provider{"fake": r.provider}})
	if _, err := r.Remove(t.Context(), me, Removal{KeepGrant: true, KeepPasswords: true}); err != nil {
		t.Fatal(err)
	}
	r.keepAlive.checkAll(t.Context())
	r.wantCalls(0)
}

// TestKeepAliveOneAtATime: the mailboxes of one provider wait for each other.
func TestKeepAliveOneAtATime(t *testing.T) {
	r := newRig(t)
	for i := range 3 {
		err := r.Connect(t.Context(), Connection{Mailbox: fmt.Sprintf("m%d@gmail.com", i), Provider: "fake", Token: &oauth.Token{
			Access: "a-CANARY", Refresh: r.endpoint.Grant(), Minted: time.Now().Add(-40 * day), Expiry: time.Now().Add(-40 * day),
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	var under, most atomic.Int32
	r.endpoint.Does(func(http.ResponseWriter, *http.Request) bool {
		most.Store(max(most.Load(), under.Add(1)))
		defer under.Add(-1)
		return false
	})
	r.keepAlive.checkAll(t.Context())
	r.wantCalls(3)
	if most.Load() != 1 {
		t.Errorf("%d at a time", most.Load())
	}
}

// TestKeepAliveTwice: of two servers over one store, one refreshes a grant.
func TestKeepAliveTwice(t *testing.T) {
	r := newRig(t)
	r.endpoint.Rotate = true
	r.unused(40 * day)
	other := NewVault(openStore(t, r.dir), Settings{Providers: map[string]*oauth.Provider{"fake": r.provider}}, nil)
	other.keepAlive.pause = 0
	defer other.Close(t.Context())
	var both sync.WaitGroup
	both.Go(func() { r.keepAlive.checkAll(t.Context()) })
	both.Go(func() { other.keepAlive.checkAll(t.Context()) })
	both.Wait()
	r.wantCalls(1)
}

// countingStore counts how often the mailboxes are listed.
type countingStore struct {
	store.Store
	looks atomic.Int32
}

func (s *countingStore) Mailboxes(context.Context) ([]string, error) {
	s.looks.Add(1)
	return nil, nil
}

// TestKeepAliveByTheWallClock: the mailboxes are checked every ten minutes, at once
// after the machine slept or its clock was set, and not again after the end.
func TestKeepAliveByTheWallClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, wall := &countingStore{}, &oauthtest.Clock{}
		v := NewVault(store, Settings{}, zap.NewNop())
		v.now = wall.Now
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { v.KeepAlive(ctx); close(done) }()
		looks := func(after time.Duration, want int32) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if n := store.looks.Load(); n != want {
				t.Errorf("%d looks, want %d", n, want)
			}
		}
		looks(keepAliveTick, 1)
		looks(keepAliveEvery-keepAliveTick, 1)
		looks(keepAliveTick, 2)
		wall.SetBy(8 * time.Hour)
		looks(keepAliveTick, 3)
		wall.SetBy(-20 * time.Hour)
		looks(keepAliveTick, 4)
		looks(keepAliveEvery-keepAliveTick, 4)
		looks(keepAliveTick, 5)
		cancel()
		<-done
		looks(time.Hour, 5)
		v.Close(context.Background())
	})
}
