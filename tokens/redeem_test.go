package tokens

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/zap"

	"authferry/tokens/oauth"
	"authferry/tokens/oauth/oauthtest"
)

func TestRedeem(t *testing.T) {
	f := oauthtest.NewEndpoint(t)
	p := fakeProvider(f)
	refresh := f.Grant()
	got, err := p.Redeem(context.Background(), refresh)
	if err != nil {
		t.Fatal(err)
	}
	if !f.Use(got.Access) || got.Refresh.Empty() {
		t.Error("no good token came of it")
	}
	if _, err := p.Redeem(context.Background(), "made-up"); !errors.Is(err, oauth.ErrNeedsConsent) {
		t.Errorf("a made-up token: %v", err)
	}
}

// TestConnectUntried: a grant that was not tried is written without a call, and
// serves the first login.
func TestConnectUntried(t *testing.T) {
	ctx := context.Background()
	f := oauthtest.NewEndpoint(t)
	p := fakeProvider(f)
	v := NewVault(openStore(t, t.TempDir()), Settings{Providers: map[string]*oauth.Provider{p.Name: p}}, zap.NewNop())
	defer v.Close(ctx)
	c := Connection{Mailbox: me, Provider: p.Name, Untried: true, Token: &oauth.Token{}}
	if v.Connect(ctx, c) == nil {
		t.Error("nothing at all was kept")
	}
	c.Token.Refresh = f.Grant()
	if err := v.Connect(ctx, c); err != nil || f.Asked() != 0 {
		t.Fatalf("%v, and %d calls", err, f.Asked())
	}
	password, err := v.AddPassword(ctx, me, PasswordSpec{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	g, err := v.Authorize(ctx, Login{User: me, Password: password, Protocol: "imap", From: here})
	if err != nil || !f.Use(g.AccessToken) {
		t.Errorf("the first login: %v", err)
	}
}
