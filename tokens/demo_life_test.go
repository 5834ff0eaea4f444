package tokens

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/zap"

	"authferry/demo"
	"authferry/internal/secret"
	"authferry/tokens/oauth"
	"authferry/tokens/oauth/oauthtest"
)

// demoRig is a vault in front of a simulated Gmail.
type demoRig struct {
	*Vault
	t        *testing.T
	gmail    *demo.Provider
	provider *oauth.Provider
	clock    *oauthtest.Clock
}

func newDemoRig(t *testing.T) *demoRig {
	gmail, err := demo.Start(demo.Options{Mailboxes: []string{me, "you@gmail.com"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { gmail.Close() })
	r := &demoRig{t: t, gmail: gmail, provider: oauth.Builtin()["gmail"], clock: &oauthtest.Clock{}}
	p := r.provider
	p.AuthURL, p.TokenURL, p.RevokeURL, p.Issuer = gmail.AuthURL, gmail.TokenURL, gmail.RevokeURL, ""
	p.ClientID, p.ClientSecret = gmail.ClientID, secret.String(gmail.ClientSecret)
	r.Vault = NewVault(openStore(t, t.TempDir()), Settings{Providers: map[string]*oauth.Provider{"gmail": p}}, zap.NewNop())
	r.now = r.clock.Now
	t.Cleanup(func() { r.Close(context.Background()) })
	return r
}

// consent connects a mailbox as its owner does.
func (r *demoRig) consent(mailbox string) {
	r.t.Helper()
	c, err := r.provider.NewConsent("http://127.0.0.1:34567", mailbox)
	if err != nil {
		r.t.Fatal(err)
	}
	redirected, err := r.gmail.Consent(c.URL, mailbox)
	if err != nil {
		r.t.Fatal(err)
	}
	token, err := c.Finish(r.t.Context(), redirected)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.Connect(r.t.Context(), Connection{Mailbox: mailbox, Provider: "gmail", Token: token}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *demoRig) authorize(mailbox string, password secret.String) (*Grant, error) {
	return r.Authorize(r.t.Context(), Login{User: mailbox, Password: password, Protocol: "imap", From: here})
}

// TestCausesAgainstDemo: the answers of the simulated Gmail have the right causes,
// and none of them harms the grant.
func TestCausesAgainstDemo(t *testing.T) {
	r := newDemoRig(t)
	r.consent(me)
	password, err := r.AddPassword(t.Context(), me, PasswordSpec{Name: "CRM"})
	if err != nil {
		t.Fatal(err)
	}
	for answer, want := range map[demo.TokenAnswer]struct {
		kind error
		why  oauth.Cause
	}{
		demo.TokenInvalidGrant:    {oauth.ErrNeedsConsent, oauth.CauseRevoked},
		demo.TokenInvalidRAPT:     {oauth.ErrNeedsConsent, oauth.CauseSessionControl},
		demo.TokenAdminPolicy:     {oauth.ErrRefused, oauth.CausePolicy},
		demo.TokenDeletedClient:   {oauth.ErrRefused, oauth.CauseClientDeleted},
		demo.TokenUnauthorizedCli: {oauth.ErrRefused, oauth.CauseClient},
		demo.TokenInvalidCli:      {oauth.ErrRefused, oauth.CauseClient},
		demo.Token429:             {oauth.ErrUnavailable, oauth.CauseThrottled},
		demo.Token500:             {oauth.ErrUnavailable, oauth.CauseOutage},
		demo.Token503HTML:         {oauth.ErrUnavailable, oauth.CauseOutage},
		demo.TokenHTML:            {oauth.ErrUnavailable, oauth.CauseOutage},
		demo.TokenEmpty:           {oauth.ErrUnavailable, oauth.CauseOutage},
		demo.TokenTruncated:       {oauth.ErrUnavailable, oauth.CauseOutage},
		demo.TokenCut:             {oauth.ErrUnavailable, oauth.CauseUnreachable},
	} {
		r.clock.Advance(2 * time.Hour)
		r.gmail.Faults.Token(answer)
		if _, err := r.authorize(me, password); !errors.Is(err, want.kind) || oauth.CauseOf(err) != want.why {
			t.Errorf("%s: put down to %q: %v", answer, oauth.CauseOf(err), err)
		}
		r.gmail.Faults.Token(demo.TokenNormal)
		r.clock.Advance(2 * time.Hour)
		g, err := r.authorize(me, password)
		if err != nil || tokenInfo(t, r.gmail.TokenInfoURL, g.AccessToken) != me {
			t.Fatalf("after %s: %v", answer, err)
		}
	}
	for _, answer := range []demo.TokenAnswer{demo.TokenLifeString, demo.TokenLifeFloat, demo.TokenLifeMissing, demo.TokenWrongType, demo.TokenGrantExpires} {
		r.gmail.Faults.Token(answer)
		r.clock.Advance(2 * time.Hour)
		if _, err := r.authorize(me, password); err != nil {
			t.Errorf("%s: %v", answer, err)
		}
	}
	a, err := r.Account(t.Context(), me)
	if at, certain := r.NeedsPerson(a); err != nil || at.IsZero() || !certain {
		t.Errorf("the end that was named is not foreseen: %s, %v", at, err)
	}
}

// TestRemovalAgainstDemo: the provider no longer accepts the grant of a removed
// mailbox, and still accepts another's.
func TestRemovalAgainstDemo(t *testing.T) {
	r := newDemoRig(t)
	r.consent(me)
	r.consent("you@gmail.com")
	mine, err := r.Refresh(t.Context(), me)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := r.Remove(t.Context(), me, Removal{}); err != nil || !out.Revoked {
		t.Fatalf("%+v, %v", out, err)
	}
	if who := tokenInfo(t, r.gmail.TokenInfoURL, mine.AccessToken); who != "" {
		t.Errorf("the token is still %s's", who)
	}
	if _, err := r.Refresh(t.Context(), "you@gmail.com"); err != nil {
		t.Errorf("another mailbox: %v", err)
	}
	// A grant that is already gone there is no failure.
	r.gmail.RevokeGrants("you@gmail.com")
	if out, err := r.Remove(t.Context(), "you@gmail.com", Removal{}); err != nil || !out.Revoked || out.Left != nil {
		t.Errorf("%+v, %v", out, err)
	}
}

// TestDomainAgainstDemo: a service account opens a mailbox of a domain from its
// first password on.
func TestDomainAgainstDemo(t *testing.T) {
	r := newDemoRig(t)
	account, err := oauth.LoadServiceAccount(r.gmail.ServiceAccountJSON())
	if err != nil {
		t.Fatal(err)
	}
	p := *r.provider
	p.Name, p.Flow, p.ServiceAccount = "workspace", oauth.FlowServiceAccount, account
	r.Configure(Settings{Providers: map[string]*oauth.Provider{"workspace": &p}, Domains: map[string]string{"gmail.com": "workspace"}})
	password, err := r.AddPassword(t.Context(), me, PasswordSpec{Name: "CRM"})
	if err != nil {
		t.Fatal(err)
	}
	g, err := r.authorize(me, password)
	if err != nil || tokenInfo(t, r.gmail.TokenInfoURL, g.AccessToken) != me {
		t.Fatalf("%v, %v", g, err)
	}
	// A mailbox that does not exist there is refused with a cause of its own.
	ghost, err := r.AddPassword(t.Context(), "ghost@gmail.com", PasswordSpec{Name: "CRM"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.authorize("ghost@gmail.com", ghost); !errors.Is(err, oauth.ErrRefused) || oauth.CauseOf(err) != oauth.CauseUnknownUser {
		t.Errorf("put down to %q: %v", oauth.CauseOf(err), err)
	}
	if _, err := p.Mint(t.Context(), "ghost@gmail.com"); !errors.Is(err, oauth.ErrRefused) || oauth.CauseOf(err) != oauth.CauseUnknownUser {
		t.Errorf("Mint: put down to %q: %v", oauth.CauseOf(err), err)
	} else if _, ok := oauth.AdviceOf(err); !ok {
		t.Errorf("no advice: %v", err)
	}
	// The provider rejects the assertions of a clock that is hours off.
	r.clock.SetBy(-3 * time.Hour)
	if _, err := r.Refresh(t.Context(), me); oauth.CauseOf(err) != oauth.CauseClock {
		t.Errorf("put down to %q: %v", oauth.CauseOf(err), err)
	}
}
