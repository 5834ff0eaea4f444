//go:build postgres

package store_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"authferry/internal/secret"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/oauth/oauthtest"
	"authferry/tokens/store"
)

// postgresRig returns a vault over a database behind a wire, with a fake token endpoint,
// and a second vault like that of another machine.
func postgresRig(t *testing.T) (here, there *tokens.Vault, stores [2]*store.Postgres, endpoint *oauthtest.Endpoint, password secret.String, w *store.Wire) {
	url, seal := store.FreshPostgres(t), store.NewSeal(t)
	w = store.NewWire(t, url)
	endpoint = oauthtest.NewEndpoint(t)
	endpoint.Rotate = true
	settings := tokens.Settings{Providers: map[string]*oauth.Provider{"fake": fakeProvider(endpoint)}}
	stores = [2]*store.Postgres{store.OpenTestStore(t, w.URL(), seal), store.OpenTestStore(t, url, seal)}
	here, there = tokens.NewVault(stores[0], settings, zap.NewNop()), tokens.NewVault(stores[1], settings, zap.NewNop())
	for _, v := range []*tokens.Vault{here, there} {
		ctx, cancel := context.WithCancel(context.Background())
		done, heard := make(chan struct{}), make(chan struct{}, 1000)
		go func() { defer close(done); v.Follow(ctx, func() { heard <- struct{}{} }) }()
		<-heard
		t.Cleanup(func() {
			cancel()
			<-done
			if err := v.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	now := time.Now()
	err := there.Connect(context.Background(), tokens.Connection{Mailbox: oauthtest.Mailbox, Provider: "fake", Token: &oauth.Token{
		Access: "ya29.stale-CANARY", Refresh: endpoint.Grant(), Minted: now.Add(-time.Hour), Expiry: now,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if password, err = there.AddPassword(context.Background(), oauthtest.Mailbox, tokens.PasswordSpec{Name: "Livespace"}); err != nil {
		t.Fatal(err)
	}
	return here, there, stores, endpoint, password, w
}

// TestPostgresVaults: two machines refresh once between them; a password that another
// machine just added is right, one that it revoked is wrong; logins continue while the
// database is away, and no password is called wrong then.
func TestPostgresVaults(t *testing.T) {
	here, there, _, endpoint, password, w := postgresRig(t)
	ctx := context.Background()
	login := func(v *tokens.Vault, password secret.String) error {
		g, err := v.Authorize(ctx, tokens.Login{User: oauthtest.Mailbox, Password: password, Protocol: "imap", From: netip.MustParseAddr("192.0.2.1")})
		if err == nil && !endpoint.Use(g.AccessToken) {
			t.Error("the token is not good")
		}
		return err
	}
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			if err := login([]*tokens.Vault{here, there}[i%2], password); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := endpoint.Asked(); n != 1 {
		t.Errorf("%d refreshes for simultaneous logins on two machines", n)
	}
	for range 20 { // each login may come before the announcement
		added, err := there.AddPassword(ctx, oauthtest.Mailbox, tokens.PasswordSpec{Name: "new"})
		if err != nil {
			t.Fatal(err)
		}
		if err := login(here, added); err != nil {
			t.Errorf("a right password: %v", err)
		}
		if err := there.RevokePassword(ctx, oauthtest.Mailbox, "new"); err != nil {
			t.Fatal(err)
		}
	}
	if err := login(here, "wrong"); !errors.Is(err, tokens.ErrBadLogin) {
		t.Errorf("a wrong password: %v", err)
	}
	w.SetDown(true)
	if err := login(here, password); err != nil {
		t.Errorf("the database is away, and the token good: %v", err)
	}
	if err := login(here, "wrong"); !errors.Is(err, oauth.ErrUnavailable) || errors.Is(err, tokens.ErrBadLogin) {
		t.Errorf("a password that may have been added meanwhile: %v", err)
	}
	w.SetDown(false)
}

// TestPostgresUnwritten: a token that was refreshed while the database went away is
// written when it is back, without a login.
func TestPostgresUnwritten(t *testing.T) {
	here, there, stores, endpoint, password, w := postgresRig(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	stores[0].SetWriteTime(time.Second)
	var once sync.Once
	endpoint.Does(func(http.ResponseWriter, *http.Request) bool {
		once.Do(func() { w.SetDown(true) })
		return false
	})
	if _, err := here.Authorize(ctx, tokens.Login{User: oauthtest.Mailbox, Password: password, Protocol: "imap", From: netip.MustParseAddr("192.0.2.1")}); !errors.Is(err, oauth.ErrUnavailable) {
		t.Fatalf("a token was used that is not written: %v", err)
	}
	old, err := stores[1].Get(ctx, oauthtest.Mailbox)
	if err != nil {
		t.Fatal(err)
	}
	w.SetDown(false)
	for {
		a, err := stores[1].Get(ctx, oauthtest.Mailbox)
		if err != nil {
			t.Fatal(err)
		}
		if a.Token.Refresh != old.Token.Refresh {
			break
		}
	}
	if g, err := there.Authorize(ctx, tokens.Login{User: oauthtest.Mailbox, Password: password, Protocol: "imap", From: netip.MustParseAddr("192.0.2.1")}); err != nil || !endpoint.Use(g.AccessToken) {
		t.Errorf("the grant was lost: %v", err)
	}
	if n := endpoint.Asked(); n != 1 {
		t.Errorf("%d refreshes", n)
	}
}

// fakeProvider returns a Provider with this endpoint.
func fakeProvider(f *oauthtest.Endpoint) *oauth.Provider {
	return &oauth.Provider{
		Name: "fake", AuthURL: f.URL + "/auth", TokenURL: f.URL + "/token", ClientID: "client", ClientSecret: "secret-CANARY-client",
		Scopes: []string{"https://mail.google.com/"}, RedirectHost: "127.0.0.1", RefreshAhead: oauth.DefaultRefreshAhead,
	}
}
