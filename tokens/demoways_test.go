package tokens

import (
	"strings"
	"testing"
	"time"

	"authferry/demo"
	"authferry/internal/secret"
	"authferry/tokens/oauth"
	"authferry/tokens/oauth/oauthtest"
)

// TestWaysAgainstDemo gets a token by every flow of the simulated provider, which
// checks assertions, device codes and clients with code of its own.
func TestWaysAgainstDemo(t *testing.T) {
	// A longer interval would have the test wait.
	gmail, err := demo.Start(demo.Options{Mailboxes: []string{me}, DeviceInterval: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	defer gmail.Close()
	provider := func(flow oauth.Flow) *oauth.Provider {
		return &oauth.Provider{
			Name: "demo", Flow: flow, TokenURL: gmail.TokenURL, RevokeURL: gmail.RevokeURL, UserInfoURL: gmail.UserInfoURL, DeviceURL: gmail.DeviceURL,
			ClientID: gmail.ClientID, ClientSecret: secret.String(gmail.ClientSecret), Scopes: []string{gmail.Scope},
		}
	}

	t.Run("service account", func(t *testing.T) {
		p := provider(oauth.FlowServiceAccount)
		if p.ServiceAccount, err = oauth.LoadServiceAccount(gmail.ServiceAccountJSON()); err != nil {
			t.Fatal(err)
		}
		token, err := p.Mint(t.Context(), me)
		if err != nil {
			t.Fatal(err)
		}
		if who := tokenInfo(t, gmail.TokenInfoURL, token.Access); who != me {
			t.Errorf("the token is %q's", who)
		}
		_, err = p.Mint(t.Context(), "nobody@gmail.com")
		wantFailure(t, err, oauth.ErrRefused, "is a mailbox of the domain")
		gmail.Faults.NoDelegation(true)
		defer gmail.Faults.NoDelegation(false)
		_, err = p.Mint(t.Context(), me)
		wantFailure(t, err, oauth.ErrRefused, "Domain-wide delegation")
		p.ServiceAccount.Key = oauthtest.StrangeKey()
		_, err = p.Mint(t.Context(), me)
		wantFailure(t, err, oauth.ErrRefused, "Signature")
	})

	t.Run("client credentials", func(t *testing.T) {
		p := provider(oauth.FlowClientCredentials)
		if _, err := p.Mint(t.Context(), me); err != nil {
			t.Errorf("by secret: %v", err)
		}
		p.ClientSecret = ""
		if p.Certificate, err = oauth.LoadClientCertificate(gmail.ClientCertificatePEM(), gmail.ClientKeyPEM()); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Mint(t.Context(), me); err != nil {
			t.Errorf("by certificate: %v", err)
		}
		p.Certificate.Key = oauthtest.StrangeKey()
		_, err = p.Mint(t.Context(), me)
		wantFailure(t, err, oauth.ErrRefused, "AADSTS")
	})

	t.Run("device code, and back", func(t *testing.T) {
		p := provider(oauth.FlowDeviceCode)
		d, err := p.StartDevice(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := gmail.ConfirmDevice(d.UserCode, me); err != nil {
			t.Fatal(err)
		}
		token, err := d.Wait(t.Context())
		if err != nil || token.Refresh.Empty() {
			t.Fatalf("%v", err)
		}
		if who, err := p.WhoIs(t.Context(), &oauth.Token{Access: token.Access}); err != nil || who != me {
			t.Errorf("WhoIs: %q, %v", who, err)
		}
		next, err := p.Refresh(t.Context(), *token, me, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time it is gone already
			if err := p.Revoke(t.Context(), next); err != nil {
				t.Errorf("Revoke: %v", err)
			}
		}
		_, err = p.Refresh(t.Context(), next, me, time.Now())
		wantFailure(t, err, oauth.ErrNeedsConsent, "invalid_grant")
	})

	t.Run("a device code for Gmail", func(t *testing.T) {
		real, err := demo.Start(demo.Options{Mailboxes: []string{me}, NoDeviceMail: true})
		if err != nil {
			t.Fatal(err)
		}
		defer real.Close()
		p := provider(oauth.FlowDeviceCode)
		p.DeviceURL, p.ClientID, p.ClientSecret = real.DeviceURL, real.ClientID, secret.String(real.ClientSecret)
		if _, err := p.StartDevice(t.Context()); err == nil || !strings.Contains(err.Error(), "--no-browser") {
			t.Errorf("%v", err)
		}
	})

	t.Run("the ID token", func(t *testing.T) {
		p := provider(oauth.FlowConsent)
		p.AuthURL, p.Scopes, p.UserInfoURL = gmail.AuthURL, append(p.Scopes, "openid", "email"), ""
		p.AuthParams = map[string]string{"access_type": "offline", "prompt": "consent"}
		c, err := p.NewConsent(redirectTo, me)
		if err != nil {
			t.Fatal(err)
		}
		redirected, err := gmail.Consent(c.URL, me)
		if err != nil {
			t.Fatal(err)
		}
		token, err := c.Finish(t.Context(), redirected)
		if err != nil {
			t.Fatal(err)
		}
		if who, err := p.WhoIs(t.Context(), token); err != nil || who != me {
			t.Errorf("WhoIs: %q, %v", who, err)
		}
	})
}
