package oauth

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"authferry/tokens/oauth/oauthtest"
)

// TestServiceAccountMints: an endpoint that knows the public key alone accepts the
// assertion, and the result is a token without a grant.
func TestServiceAccountMints(t *testing.T) {
	j := oauthtest.NewAppEndpoint(t)
	p := googleApp(j)
	token, err := p.Mint(t.Context(), me)
	if err != nil {
		t.Fatal(err)
	}
	if token.Access != "ya29.CANARY-1" || !token.Refresh.Empty() || time.Until(token.Expiry) < 59*time.Minute {
		t.Errorf("%q %q %s", token.Access.Reveal(), token.Refresh.Reveal(), token.Expiry)
	}
	// The account that signs in decides, if it is not the mailbox.
	j.Mailboxes = map[string]bool{"delegate@example.com": true}
	if _, err := p.Refresh(t.Context(), Token{}, "delegate@example.com", time.Now()); err != nil {
		t.Error(err)
	}
}

// TestClocks: how wrong this machine's clock may be for a strict endpoint.
func TestClocks(t *testing.T) {
	j := oauthtest.NewAppEndpoint(t)
	for _, c := range []struct {
		ahead time.Duration // of the endpoint's
		says  string        // empty: it mints
	}{
		{0, ""}, {-time.Minute, ""}, {-110 * time.Second, ""}, {50 * time.Minute, ""},
		{-10 * time.Minute, "clock is 10m"}, {2 * time.Hour, "clock is"},
	} {
		j.Ahead = c.ahead
		_, err := googleApp(j).Mint(t.Context(), me)
		if c.says == "" && err != nil {
			t.Errorf("%s: %v", c.ahead, err)
		}
		if c.says == "" {
			continue
		}
		side := map[bool]string{true: "behind", false: "ahead"}[c.ahead > 0]
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), side+" of the endpoint's") && !strings.Contains(err.Error(), side+" the endpoint's") {
			t.Errorf("%s: %v", c.ahead, err)
		}
	}
}

// TestRefusedAssertions: the kind and the fix of each of Google's errors, none of which
// ends a grant.
func TestRefusedAssertions(t *testing.T) {
	j := oauthtest.NewAppEndpoint(t)
	for name, c := range map[string]struct {
		spoil func(*Provider)
		kind  error
		says  string
	}{
		"not delegated":     {func(p *Provider) { p.Scopes = []string{"https://www.googleapis.com/auth/gmail.imap_admin"} }, ErrRefused, oauthtest.RobotID},
		"unknown mailbox":   {func(p *Provider) { p.ServiceAccount.Email = oauthtest.Robot }, ErrRefused, "is a mailbox of the domain"},
		"another key":       {func(p *Provider) { p.ServiceAccount.Key = oauthtest.StrangeKey() }, ErrRefused, "make a new one"},
		"withdrawn key":     {func(p *Provider) { p.ServiceAccount.KeyID = "gone" }, ErrRefused, `the key "gone"`},
		"deleted account":   {func(p *Provider) { p.ServiceAccount.Email = "gone@project.iam.gserviceaccount.com" }, ErrRefused, "still exists"},
		"no account":        {func(p *Provider) { p.ServiceAccount = nil }, ErrRefused, "set service_account_file in [provider.workspace]"},
		"no key":            {func(p *Provider) { p.ServiceAccount.Key = &rsa.PrivateKey{PublicKey: oauthtest.TestKey().PublicKey} }, ErrRefused, "cannot sign"},
		"unknown flow":      {func(p *Provider) { p.Flow = "password" }, ErrRefused, `unknown flow "password"`},
		"a flow of people":  {func(p *Provider) { p.Flow = FlowConsent }, ErrNeedsConsent, "authferry connect"},
		"nobody there":      {func(p *Provider) { p.TokenURL = "http://127.0.0.1:1/token" }, ErrUnavailable, "cannot be reached"},
		"not an address":    {func(p *Provider) { p.TokenURL = "token" }, ErrRefused, "token_url"},
		"a plain connexion": {func(p *Provider) { p.TokenURL = "http://example.com/" }, ErrRefused, "https://"},
	} {
		t.Run(name, func(t *testing.T) {
			p := googleApp(j)
			c.spoil(p)
			mailbox := me
			if name == "unknown mailbox" {
				mailbox = "nobody@gmail.com"
			}
			_, err := p.Mint(t.Context(), mailbox)
			wantFailure(t, err, c.kind, c.says)
			if strings.Contains(err.Error(), codeFixes["unauthorized_client"]) {
				t.Errorf("two fixes: %v", err)
			}
		})
	}
}

// wantFailure checks the kind of an error, part of its text, and that it contains no
// secret.
func wantFailure(t *testing.T, err, kind error, says string) {
	t.Helper()
	if err == nil || !errors.Is(err, kind) || !strings.Contains(err.Error(), says) {
		t.Fatalf("%v; want %v and %q", err, kind, says)
	}
	for _, other := range []error{ErrNeedsConsent, ErrRefused, ErrUnavailable} {
		if other != kind && errors.Is(err, other) {
			t.Errorf("%v is %v too", err, other)
		}
	}
	text := fmt.Sprintf("%v %+v %#v %s", err, err, errors.Unwrap(err), err)
	for _, secret := range []string{"CANARY", "eyJ", oauthtest.TestKey().D.String(), "PRIVATE"} {
		if strings.Contains(text, secret) {
			t.Errorf("tells a secret: %s", text)
		}
	}
	if strings.ContainsAny(err.Error(), "\r\n") || len(err.Error()) > 1500 {
		t.Errorf("%q", err)
	}
}

// TestFaultyAnswers: a failure that is temporary for other grants is temporary for every
// flow that calls an endpoint.
func TestFaultyAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		kind   error
		says   string
	}{
		"outage":        {503, "<html>CANARY</html>", ErrUnavailable, "503"},
		"portal":        {200, "<html>CANARY</html>", ErrUnavailable, "without JSON"},
		"throttled":     {429, `{"error":"rate_limit_exceeded"}`, ErrUnavailable, "rate_limit"},
		"nothing":       {200, "", ErrUnavailable, "without JSON"},
		"cut":           {200, `{"access_token":"ya29.CANARY`, ErrUnavailable, "without JSON"},
		"no token":      {200, `{}`, ErrUnavailable, "not a token"},
		"wrong client":  {401, `{"error":"invalid_client","error_description":"AADSTS7000215"}`, ErrRefused, "AADSTS7000215"},
		"dead, it says": {400, `{"error":"invalid_grant","error_description":"CANARY is no mailbox"}`, ErrRefused, "invalid_grant"},
		"unknown scope": {400, `{"error":"invalid_scope"}`, ErrRefused, "check scopes"},
	} {
		t.Run(name, func(t *testing.T) {
			j := oauthtest.NewAppEndpoint(t)
			j.Intercept = func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				fmt.Fprint(w, strings.ReplaceAll(c.body, "CANARY", "x"))
			}
			for _, p := range []*Provider{googleApp(j), microsoftApp(j)} {
				_, err := p.Mint(t.Context(), me)
				wantFailure(t, err, c.kind, c.says)
			}
		})
	}
}

// TestNoAnswer: the time limit is the provider's.
func TestNoAnswer(t *testing.T) {
	j := oauthtest.NewAppEndpoint(t)
	gone := make(chan struct{})
	j.Intercept = func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(gone)
	}
	p := googleApp(j)
	p.Timeout = 300 * time.Millisecond // enough to connect on a busy machine
	ctx, cancel := context.WithTimeout(t.Context(), defaultTimeout/4)
	defer cancel()
	_, err := p.Mint(ctx, me)
	wantFailure(t, err, ErrUnavailable, "no answer within 300ms")
	if ctx.Err() != nil {
		t.Error("the caller's time ran out first")
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v does not say that time ran out", err)
	}
	<-gone
}

// TestClientCredentials: by a secret and by a certificate.
func TestClientCredentials(t *testing.T) {
	j := oauthtest.NewAppEndpoint(t)
	p := microsoftApp(j)
	token, err := p.Mint(t.Context(), me)
	if err != nil || !token.Refresh.Empty() {
		t.Fatal(err)
	}
	p.ClientSecret = "wrong-CANARY"
	_, err = p.Mint(t.Context(), me)
	wantFailure(t, err, ErrRefused, "AADSTS7000215")
	p.ClientSecret = ""
	_, err = p.Mint(t.Context(), me)
	wantFailure(t, err, ErrRefused, "client_secret_file or certificate_file in [provider.app]")

	j.Certificate = oauthtest.CertificateOf(t, oauthtest.TestKey(), time.Now().Add(time.Hour))
	if p.Certificate, err = LoadClientCertificate([]byte(j.Certificate), []byte(oauthtest.PemOf(t, oauthtest.TestKey()))); err != nil {
		t.Fatal(err)
	}
	p.ClientSecret = "unused-CANARY" // the certificate goes first
	for range 2 {
		if _, err := p.Mint(t.Context(), me); err != nil {
			t.Fatal(err)
		}
	}
	strange := oauthtest.CertificateOf(t, oauthtest.TestKey(), time.Now().Add(2*time.Hour))
	if p.Certificate, err = LoadClientCertificate([]byte(strange), []byte(oauthtest.PemOf(t, oauthtest.TestKey()))); err != nil {
		t.Fatal(err)
	}
	_, err = p.Mint(t.Context(), me)
	wantFailure(t, err, ErrRefused, "AADSTS700027")
	p.ClientID = ""
	_, err = p.Mint(t.Context(), me)
	wantFailure(t, err, ErrRefused, "set client_id in [provider.app]")
}

// TestExpiredCertificate: no request is made, and the error says what to do.
func TestExpiredCertificate(t *testing.T) {
	j := oauthtest.NewAppEndpoint(t)
	p := microsoftApp(j)
	expired := oauthtest.CertificateOf(t, oauthtest.TestKey(), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	var err error
	if p.Certificate, err = LoadClientCertificate([]byte(expired), []byte(oauthtest.PemOf(t, oauthtest.TestKey()))); err != nil {
		t.Fatal(err)
	}
	_, err = p.Mint(t.Context(), me)
	wantFailure(t, err, ErrRefused, "expired on 2026-01-02")
	if len(j.Forms) != 0 {
		t.Errorf("asked with %d", len(j.Forms))
	}
}
