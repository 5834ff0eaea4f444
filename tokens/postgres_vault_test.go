package tokens

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
)

// postgresRig is a vault over a database behind a wire, with a fake token
// endpoint, and a second one as another machine has it.
func postgresRig(t *testing.T) (here, there *Vault, stores [2]*PostgresStore, endpoint *fakeEndpoint, password Secret, w *wire) {
	url, seal := freshPostgres(t), newSeal(t)
	w = newWire(t, url)
	endpoint = newFakeEndpoint(t)
	endpoint.rotate = true
	settings := Settings{Providers: map[string]*Provider{"fake": fakeProvider(endpoint)}}
	stores = [2]*PostgresStore{openPostgres(t, w.url, seal), openPostgres(t, url, seal)}
	here, there = NewVault(stores[0], settings, zap.NewNop()), NewVault(stores[1], settings, zap.NewNop())
	for _, v := range []*Vault{here, there} {
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
	err := there.Connect(context.Background(), Connection{Mailbox: me, Provider: "fake", Token: &Token{
		Access: "ya29.stale-CANARY", Refresh: endpoint.grant(), Minted: now.Add(-time.Hour), Expiry: now,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if password, err = there.AddPassword(context.Background(), me, PasswordSpec{Name: "Livespace"}); err != nil {
		t.Fatal(err)
	}
	return here, there, stores, endpoint, password, w
}

// TestPostgresVaults: machines refresh once between them; a password that was
// just made elsewhere is right, one that was revoked is wrong; logins go on
// while the database is away, and nobody is told that a password is wrong.
func TestPostgresVaults(t *testing.T) {
	here, there, _, endpoint, password, w := postgresRig(t)
	ctx := context.Background()
	login := func(v *Vault, password Secret) error {
		g, err := v.Authorize(ctx, Login{User: me, Password: password, Protocol: "imap", From: netip.MustParseAddr("192.0.2.1")})
		if err == nil && !endpoint.use(g.AccessToken) {
			t.Error("the token is not good")
		}
		return err
	}
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			if err := login([]*Vault{here, there}[i%2], password); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := endpoint.asked(); n != 1 {
		t.Errorf("%d refreshes for simultaneous logins on two machines", n)
	}
	for range 20 { // each may come before its notification
		added, err := there.AddPassword(ctx, me, PasswordSpec{Name: "new"})
		if err != nil {
			t.Fatal(err)
		}
		if err := login(here, added); err != nil {
			t.Errorf("a right password: %v", err)
		}
		if err := there.RevokePassword(ctx, me, "new"); err != nil {
			t.Fatal(err)
		}
	}
	if err := login(here, "wrong"); !errors.Is(err, ErrBadLogin) {
		t.Errorf("a wrong password: %v", err)
	}
	w.setDown(true)
	if err := login(here, password); err != nil {
		t.Errorf("the database is away, and the token good: %v", err)
	}
	if err := login(here, "wrong"); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrBadLogin) {
		t.Errorf("a password that may have been added meanwhile: %v", err)
	}
	w.setDown(false)
}

// TestPostgresUnwritten: a token that was refreshed while the database went away
// is written when it is back, without anybody logging in.
func TestPostgresUnwritten(t *testing.T) {
	here, there, stores, endpoint, password, w := postgresRig(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	store := stores[0]
	store.writeTime = time.Second
	var once sync.Once
	endpoint.does(func(http.ResponseWriter, *http.Request) bool {
		once.Do(func() { w.setDown(true) })
		return false
	})
	if _, err := here.Authorize(ctx, Login{User: me, Password: password, Protocol: "imap", From: netip.MustParseAddr("192.0.2.1")}); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("a token was used that is not written: %v", err)
	}
	old, err := readRow(ctx, stores[1], me)
	if err != nil {
		t.Fatal(err)
	}
	w.setDown(false)
	for {
		a, err := readRow(ctx, stores[1], me)
		if err != nil {
			t.Fatal(err)
		}
		if a.Token.Refresh != old.Token.Refresh {
			break
		}
	}
	if g, err := there.Authorize(ctx, Login{User: me, Password: password, Protocol: "imap", From: netip.MustParseAddr("192.0.2.1")}); err != nil || !endpoint.use(g.AccessToken) {
		t.Errorf("the grant was lost: %v", err)
	}
	if n := endpoint.asked(); n != 1 {
		t.Errorf("%d refreshes", n)
	}
}
