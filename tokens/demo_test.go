package tokens

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"go.uber.org/zap"

	"authferry/demo"
	"authferry/internal/secret"
	"authferry/tokens/oauth"
	"authferry/tokens/oauth/oauthtest"
)

// TestAgainstDemo takes a mailbox through its life at the simulated Gmail, whose
// OAuth shares no code with this package.
func TestAgainstDemo(t *testing.T) {
	ctx := context.Background()
	gmail, err := demo.Start(demo.Options{Mailboxes: []string{me, "you@gmail.com"}, GrantLife: 604799 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer gmail.Close()
	p := oauth.Builtin()["gmail"]
	p.AuthURL, p.TokenURL, p.Issuer = gmail.AuthURL, gmail.TokenURL, ""
	p.ClientID, p.ClientSecret = gmail.ClientID, secret.String(gmail.ClientSecret)
	files := openStore(t, t.TempDir())
	v := NewVault(files, Settings{Providers: map[string]*oauth.Provider{"gmail": p}}, zap.NewNop())
	defer v.Close(ctx)
	var clock oauthtest.Clock
	v.now = clock.Now

	connect := func() {
		t.Helper()
		c, err := p.NewConsent("http://127.0.0.1:34567", me)
		if err != nil {
			t.Fatal(err)
		}
		redirected, err := gmail.Consent(c.URL, me)
		if err != nil {
			t.Fatal(err)
		}
		token, err := c.Finish(ctx, redirected)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Connect(ctx, Connection{Mailbox: me, Provider: "gmail", Token: token}); err != nil {
			t.Fatal(err)
		}
	}
	connect()
	a, err := v.Account(ctx, me)
	if err != nil || time.Until(a.Token.RefreshExpiry) < 6*24*time.Hour {
		t.Fatalf("the end of the grant is not kept: %s, %v", a.Token.RefreshExpiry, err)
	}
	password, err := v.AddPassword(ctx, me, PasswordSpec{Name: "Livespace"})
	if err != nil {
		t.Fatal(err)
	}
	authorize := func() (*Grant, error) {
		return v.Authorize(ctx, Login{User: me, Password: password, Protocol: "imap", From: here})
	}
	// works logs in and uses the token, as the provider sees it.
	works := func(after string) {
		t.Helper()
		g, err := authorize()
		if err != nil {
			t.Fatalf("after %s: %v", after, err)
		}
		if who := tokenInfo(t, gmail.TokenInfoURL, g.AccessToken); who != me {
			t.Fatalf("after %s: the token is %q's", after, who)
		}
	}
	expire := func() { // and leave any back-off behind
		clock.Advance(2 * time.Hour)
	}
	works("connecting")
	gmail.Faults.Rotate(true)
	for range 3 {
		expire()
		works("a refresh with rotation")
	}
	for answer, want := range map[demo.TokenAnswer]error{
		demo.TokenInvalidGrant: oauth.ErrNeedsConsent, demo.TokenInvalidCli: oauth.ErrRefused, demo.Token500: oauth.ErrUnavailable,
		demo.Token429: oauth.ErrUnavailable, demo.TokenHTML: oauth.ErrUnavailable, demo.TokenCut: oauth.ErrUnavailable,
	} {
		expire()
		gmail.Faults.Token(answer)
		if _, err := authorize(); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", answer, err, want)
		}
		gmail.Faults.Token(demo.TokenNormal)
		expire()
		works(string(answer))
	}
	gmail.RevokeGrants(me)
	expire()
	if _, err := authorize(); !errors.Is(err, oauth.ErrNeedsConsent) {
		t.Errorf("a revoked grant: %v", err)
	}
	connect()
	works("connecting again")
}

// tokenInfo returns whose access token it is.
func tokenInfo(t *testing.T, endpoint string, access secret.String) string {
	t.Helper()
	resp, err := http.Get(endpoint + "?access_token=" + url.QueryEscape(access.Reveal()))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var info struct{ Email string }
	if err := json.NewDecoder(resp.Body).Decode(&info); err != nil {
		t.Fatal(err)
	}
	return info.Email
}
