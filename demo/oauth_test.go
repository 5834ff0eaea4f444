package demo

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// post asks the token endpoint and returns its status, header and answer.
func post(t *testing.T, address string, form url.Values) (*http.Response, map[string]any) {
	t.Helper()
	r, err := browser.PostForm(address, form)
	if err != nil {
		t.Fatal(err)
	}
	return r, answer(t, r)
}

func answer(t *testing.T, r *http.Response) map[string]any {
	t.Helper()
	defer r.Body.Close()
	var m map[string]any
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		t.Fatalf("%s: %v", r.Status, err)
	}
	return m
}

func refreshForm(p *Provider, token string) url.Values {
	return url.Values{
		"client_id": {p.ClientID}, "client_secret": {p.ClientSecret},
		"grant_type": {"refresh_token"}, "refresh_token": {token},
	}
}

func refresh(t *testing.T, p *Provider, token string) (status int, m map[string]any) {
	t.Helper()
	r, m := post(t, p.TokenURL, refreshForm(p, token))
	return r.StatusCode, m
}

func wantError(t *testing.T, status int, m map[string]any, wantStatus int, wantCode string) {
	t.Helper()
	if status != wantStatus || m["error"] != wantCode {
		t.Fatalf("got %d %v, want %d %s", status, m["error"], wantStatus, wantCode)
	}
}

func TestTokenAnswersAreShapedAsGooglesAre(t *testing.T) {
	p := start(t, Options{GrantLife: 604799*time.Second + time.Second/2})
	verifier := oauth2.GenerateVerifier()
	redirected, err := p.Consent(config(p).AuthCodeURL("the state", oauth2.S256ChallengeOption(verifier)), alice)
	if err != nil {
		t.Fatal(err)
	}
	back := query(t, redirected)
	if !strings.HasPrefix(redirected, "http://127.0.0.1:1/?") || back.Get("state") != "the state" ||
		back.Get("scope") != gmailScope || back.Get("iss") != "https://accounts.google.com" {
		t.Fatalf("redirected to %s", redirected)
	}

	r, first := post(t, p.TokenURL, url.Values{
		"client_id": {p.ClientID}, "client_secret": {p.ClientSecret}, "grant_type": {"authorization_code"},
		"code": {back.Get("code")}, "redirect_uri": {"http://127.0.0.1:1/"}, "code_verifier": {verifier},
	})
	if r.StatusCode != 200 || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		t.Fatalf("%s %s", r.Status, r.Header.Get("Content-Type"))
	}
	if access, _ := first["access_token"].(string); !regexp.MustCompile(`^ya29\.[-_A-Za-z0-9]{200}$`).MatchString(access) {
		t.Errorf("an access token of unlike shape, %d characters", len(access))
	}
	if first["refresh_token"] == nil || first["expires_in"] != 3599.0 || first["token_type"] != "Bearer" ||
		first["scope"] != gmailScope || first["refresh_token_expires_in"] != 604799.0 {
		t.Errorf("first answer lacks something: expires_in %v, token_type %v, scope %v, refresh_token_expires_in %v",
			first["expires_in"], first["token_type"], first["scope"], first["refresh_token_expires_in"])
	}

	status, second := refresh(t, p, first["refresh_token"].(string))
	if _, again := second["refresh_token"]; status != 200 || again || second["access_token"] == first["access_token"] {
		t.Errorf("a refresh must bring a new access token and no new refresh token: status %d", status)
	}
	if a, b := p.TokenCalls("authorization_code"), p.TokenCalls("refresh_token"); a != 1 || b != 1 {
		t.Errorf("counted %d exchanges and %d refreshes", a, b)
	}
}

func TestCodeExchangeIsStrict(t *testing.T) {
	p := start(t, Options{})
	verifier := oauth2.GenerateVerifier()
	withPKCE := oauth2.S256ChallengeOption(verifier)
	good := func() url.Values {
		return url.Values{
			"client_id": {p.ClientID}, "client_secret": {p.ClientSecret}, "grant_type": {"authorization_code"},
			"redirect_uri": {"http://127.0.0.1:1/"}, "code_verifier": {verifier},
		}
	}
	for name, c := range map[string]struct {
		pkce   bool
		spoil  func(url.Values)
		status int
		code   string
	}{
		"good":                       {true, func(url.Values) {}, 200, ""},
		"no PKCE at all":             {false, func(f url.Values) { f.Del("code_verifier") }, 200, ""},
		"verifier missing":           {true, func(f url.Values) { f.Del("code_verifier") }, 400, "invalid_grant"},
		"verifier of another":        {true, func(f url.Values) { f.Set("code_verifier", oauth2.GenerateVerifier()) }, 400, "invalid_grant"},
		"verifier without challenge": {false, func(url.Values) {}, 400, "invalid_grant"},
		"redirect of another":        {true, func(f url.Values) { f.Set("redirect_uri", "http://127.0.0.1:2/") }, 400, "redirect_uri_mismatch"},
		"code made up":               {true, func(f url.Values) { f.Set("code", "4/0Abc") }, 400, "invalid_grant"},
		"client unknown":             {true, func(f url.Values) { f.Set("client_id", "someone") }, 401, "invalid_client"},
		"secret wrong":               {true, func(f url.Values) { f.Set("client_secret", "guess") }, 401, "invalid_client"},
		"secret missing":             {true, func(f url.Values) { f.Del("client_secret") }, 401, "invalid_client"},
		"grant type unknown":         {true, func(f url.Values) { f.Set("grant_type", "password") }, 400, "unsupported_grant_type"},
	} {
		t.Run(name, func(t *testing.T) {
			var options []oauth2.AuthCodeOption
			if c.pkce {
				options = append(options, withPKCE)
			}
			redirected, err := p.Consent(config(p).AuthCodeURL("s", options...), alice)
			if err != nil {
				t.Fatal(err)
			}
			form := good()
			form.Set("code", query(t, redirected).Get("code"))
			c.spoil(form)
			r, m := post(t, p.TokenURL, form)
			if c.code == "" {
				if r.StatusCode != c.status {
					t.Fatalf("got %d %v", r.StatusCode, m["error"])
				}
				r, m = post(t, p.TokenURL, form) // a code is good once
				wantError(t, r.StatusCode, m, 400, "invalid_grant")
				return
			}
			wantError(t, r.StatusCode, m, c.status, c.code)
		})
	}
}

func TestClientMayAuthenticateByHeader(t *testing.T) {
	p := start(t, Options{})
	tok := connect(t, p, alice)
	c := config(p)
	c.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if _, err := c.TokenSource(web(t), &oauth2.Token{RefreshToken: tok.RefreshToken}).Token(); err != nil {
		t.Fatal(err)
	}
}

func TestConsentPage(t *testing.T) {
	p := start(t, Options{})
	get := func(address string) (int, string) {
		r, err := browser.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(b)
	}
	status, page := get(config(p).AuthCodeURL("s", oauth2.SetAuthURLParam("login_hint", "Bob@gmail.com")))
	if status != 200 || !strings.Contains(page, "Sign in to simulated Gmail") || !strings.Contains(page, p.ClientID) ||
		!strings.Contains(page, `value="bob@gmail.com" required checked`) || strings.Contains(page, `value="alice@gmail.com" required checked`) {
		t.Errorf("%d %s", status, page)
	}
	if regexp.MustCompile(`(src|href)=|url\(|@import`).MatchString(page) {
		t.Error("the page needs something from elsewhere")
	}

	for name, c := range map[string]struct {
		parameter, value string
		status           int
		says             string
	}{
		"client":          {"client_id", "<script>", 401, "invalid_client"},
		"redirect":        {"redirect_uri", "https://example.org/", 400, "redirect_uri_mismatch"},
		"redirect oob":    {"redirect_uri", "urn:ietf:wg:oauth:2.0:oob", 400, "redirect_uri_mismatch"},
		"redirect name":   {"redirect_uri", "http://localhost.example.org/", 400, "redirect_uri_mismatch"},
		"redirect none":   {"redirect_uri", "", 400, "invalid_request"},
		"response type":   {"response_type", "token", 400, "invalid_request"},
		"scope none":      {"scope", "", 400, "invalid_request"},
		"scope unknown":   {"scope", "mail", 400, "invalid_scope"},
		"challenge plain": {"code_challenge_method", "plain", 400, "invalid_request"},
		"challenge short": {"code_challenge", "abc", 400, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			u, _ := url.Parse(config(p).AuthCodeURL("s", oauth2.S256ChallengeOption(oauth2.GenerateVerifier())))
			q := u.Query()
			q.Set(c.parameter, c.value)
			u.RawQuery = q.Encode()
			status, page := get(u.String())
			if status != c.status || !strings.Contains(page, c.says) || strings.Contains(page, "<script>") {
				t.Errorf("%d %s", status, page)
			}
			if _, err := p.Consent(u.String(), alice); err == nil {
				t.Error("and yet it redirects")
			}
		})
	}
	for _, redirect := range []string{"http://[::1]:7/x?y=z", "http://localhost:7/", "http://127.0.0.1/"} {
		c := config(p)
		c.RedirectURL = redirect
		if redirected, err := p.Consent(c.AuthCodeURL("s"), alice); err != nil || !strings.HasPrefix(redirected, redirect) {
			t.Errorf("%s: redirected to %q, %v", redirect, redirected, err)
		}
	}
}

func TestConsentDenied(t *testing.T) {
	p := start(t, Options{})
	redirected, err := p.Deny(config(p).AuthCodeURL("s"), alice)
	if q := query(t, redirected); err != nil || q.Get("error") != "access_denied" || q.Get("state") != "s" || q.Has("code") {
		t.Errorf("redirected to %s, %v", redirected, err)
	}
	if _, err := p.Consent(config(p).AuthCodeURL("s"), "stranger@gmail.com"); err == nil {
		t.Error("a stranger signed in")
	}
}

func TestGrantedScopesMayBeLess(t *testing.T) {
	p := start(t, Options{})
	p.Faults.GrantScopes("openid")
	tok := connect(t, p, alice)
	if tok.Extra("scope") != "openid" {
		t.Errorf("granted %v", tok.Extra("scope"))
	}
	c := dial(t, p, p.IMAP)
	c.talk(imapRefusal, "XOAUTH2", xoauth2(alice, tok.AccessToken), xoauth2Challenge, "")
}

func TestExpireAndRevoke(t *testing.T) {
	p := start(t, Options{})
	tok, other := connect(t, p, alice), connect(t, p, bob)
	p.ExpireAccessTokens()
	if isGood(t, p, tok.AccessToken) {
		t.Error("an expired access token is good")
	}
	status, m := refresh(t, p, tok.RefreshToken)
	if status != 200 || !isGood(t, p, m["access_token"].(string)) {
		t.Fatalf("no good access token after a refresh: %d", status)
	}

	p.RevokeGrants("Alice@gmail.com")
	status, gone := refresh(t, p, tok.RefreshToken)
	wantError(t, status, gone, 400, "invalid_grant")
	if gone["error_description"] != "Token has been expired or revoked." {
		t.Errorf("described as %v", gone["error_description"])
	}
	if isGood(t, p, m["access_token"].(string)) {
		t.Error("an access token of a revoked grant is good")
	}

	if r, _ := post(t, p.RevokeURL, url.Values{"token": {other.RefreshToken}}); r.StatusCode != 200 {
		t.Errorf("revoking: %s", r.Status)
	}
	status, m = refresh(t, p, other.RefreshToken)
	wantError(t, status, m, 400, "invalid_grant")
	r, m := post(t, p.RevokeURL, url.Values{"token": {other.RefreshToken}})
	wantError(t, r.StatusCode, m, 400, "invalid_token")
}

func TestGrantEndsByItself(t *testing.T) {
	p := start(t, Options{GrantLife: time.Nanosecond})
	tok := connect(t, p, alice)
	status, m := refresh(t, p, tok.RefreshToken)
	wantError(t, status, m, 400, "invalid_grant")
}

// isGood asks introspection, which counts as a use of the token.
func isGood(t *testing.T, p *Provider, access string) bool {
	t.Helper()
	_, m := post(t, p.IntrospectURL, url.Values{"token": {access}})
	return m["active"] == true
}

func TestRotation(t *testing.T) {
	next := func(t *testing.T, p *Provider, token string) (refreshToken, access string) {
		t.Helper()
		status, m := refresh(t, p, token)
		if status != 200 {
			t.Fatalf("refused: %v", m["error"])
		}
		return m["refresh_token"].(string), m["access_token"].(string)
	}
	refused := func(t *testing.T, p *Provider, token string) {
		t.Helper()
		status, m := refresh(t, p, token)
		wantError(t, status, m, 400, "invalid_grant")
	}
	begin := func(t *testing.T) (*Provider, string) {
		p := start(t, Options{})
		p.Faults.Rotate(true)
		return p, connect(t, p, alice).RefreshToken
	}
	t.Run("old one good while the new is unused", func(t *testing.T) {
		p, first := begin(t)
		next(t, p, first) // the answer is lost
		second, _ := next(t, p, first)
		third, _ := next(t, p, second)
		next(t, p, third)
	})
	t.Run("old one after the new refresh token", func(t *testing.T) {
		p, first := begin(t)
		second, _ := next(t, p, first)
		third, access := next(t, p, second)
		refused(t, p, first)
		refused(t, p, second)
		refused(t, p, third) // the whole grant has gone
		if isGood(t, p, access) {
			t.Error("an access token outlived its grant")
		}
	})
	t.Run("old one after the new access token", func(t *testing.T) {
		p, first := begin(t)
		second, access := next(t, p, first)
		if !isGood(t, p, access) {
			t.Fatal("a fresh access token is bad")
		}
		refused(t, p, first)
		refused(t, p, second)
	})
	t.Run("a login is a use", func(t *testing.T) {
		p, first := begin(t)
		_, access := next(t, p, first)
		c := dial(t, p, p.POP3)
		c.talk("S: <*>\nC: AUTH XOAUTH2 %s\nS: +OK Welcome.\nC: QUIT\nS: +OK Farewell.", xoauth2(alice, access))
		refused(t, p, first)
	})
	t.Run("another consent is another grant", func(t *testing.T) {
		p, first := begin(t)
		other := connect(t, p, alice).RefreshToken
		second, _ := next(t, p, first)
		next(t, p, second)
		refused(t, p, first)
		next(t, p, other)
	})
}

func TestTokenInfo(t *testing.T) {
	p := start(t, Options{})
	tok := connect(t, p, alice)
	get := func(token string) (int, map[string]any) {
		r, err := browser.Get(p.TokenInfoURL + "?access_token=" + token)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, answer(t, r)
	}
	status, m := get(tok.AccessToken)
	for key, want := range map[string]any{
		"azp": p.ClientID, "aud": p.ClientID, "scope": gmailScope, "email": alice, "email_verified": "true", "access_type": "offline",
	} {
		if m[key] != want {
			t.Errorf("%s is %v, want %v", key, m[key], want)
		}
	}
	if status != 200 || m["exp"] == nil || m["expires_in"] == nil {
		t.Errorf("%d, exp %v, expires_in %v", status, m["exp"], m["expires_in"])
	}
	status, m = get("nonsense")
	wantError(t, status, m, 400, "invalid_token")
	if m["error_description"] != "Invalid Value" {
		t.Errorf("described as %v", m["error_description"])
	}
}

func TestIntrospection(t *testing.T) {
	p := start(t, Options{})
	tok := connect(t, p, alice)
	bearer, _ := http.NewRequest("GET", p.IntrospectURL, nil)
	bearer.Header.Set("Authorization", "Bearer "+tok.AccessToken)
	byURL, _ := http.NewRequest("GET", p.IntrospectURL+"?token="+tok.AccessToken, nil)
	byForm, _ := http.NewRequest("POST", p.IntrospectURL, strings.NewReader("token="+tok.AccessToken))
	byForm.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, request := range []*http.Request{bearer, byURL, byForm} {
		r, err := browser.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if m := answer(t, r); m["active"] != true || m["username"] != alice || m["scope"] != gmailScope {
			t.Errorf("active %v, username %v, scope %v", m["active"], m["username"], m["scope"])
		}
	}
	if isGood(t, p, "nonsense") {
		t.Error("nonsense is active")
	}
}

func TestTokenFaults(t *testing.T) {
	p := start(t, Options{})
	tok := connect(t, p, alice)
	ask := func() (*http.Response, error) { return browser.PostForm(p.TokenURL, refreshForm(p, tok.RefreshToken)) }
	for _, c := range []struct {
		fault  TokenAnswer
		status int
		says   string
	}{
		{TokenInvalidGrant, 400, `"error": "invalid_grant"`},
		{TokenInvalidCli, 401, `"error": "invalid_client"`},
		{Token500, 500, `"error": "internal_failure"`},
		{Token429, 429, `"error": "rate_limit_exceeded"`},
		{TokenHTML, 200, `<!DOCTYPE html>`},
		{TokenInvalidRAPT, 400, `"error_subtype": "invalid_rapt"`},
		{TokenAdminPolicy, 400, `"error": "admin_policy_enforced"`},
		{TokenDeletedClient, 401, `"error": "deleted_client"`},
		{TokenUnauthorizedCli, 401, `"error": "unauthorized_client"`},
		{Token503HTML, 503, `<!DOCTYPE html>`},
		{TokenEmpty, 200, ``},
		{TokenWrongType, 200, `"access_token": "ya29.`},
		{TokenTruncated, 200, `"access_token": "ya29.`},
		{TokenLifeString, 200, `"expires_in": "3599"`},
		{TokenLifeFloat, 200, `"expires_in": 3599.5`},
		{TokenLifeMissing, 200, `"expires_in": null`},
		{TokenGrantExpires, 200, `"refresh_token_expires_in": 604799`},
	} {
		p.Faults.Token(c.fault)
		r, err := ask()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || r.StatusCode != c.status || !strings.Contains(string(body), c.says) {
			t.Errorf("%s: %s %q %v", c.fault, r.Status, body, err)
		}
		if (r.Header.Get("Retry-After") != "") != (c.fault == Token429) {
			t.Errorf("%s: Retry-After %q", c.fault, r.Header.Get("Retry-After"))
		}
		isJSON := r.Header.Get("Content-Type") == "application/json; charset=utf-8"
		if isPage := c.fault == TokenHTML || c.fault == Token503HTML || c.fault == TokenWrongType; isJSON == isPage {
			t.Errorf("%s: said to be %s", c.fault, r.Header.Get("Content-Type"))
		}
		if broken := c.fault == TokenEmpty || c.fault == TokenTruncated; broken && json.Valid(body) || c.fault == TokenEmpty && len(body) > 0 {
			t.Errorf("%s: whole all the same: %q", c.fault, body)
		}
	}

	p.Faults.Token(TokenCut)
	r, err := ask()
	if err == nil {
		_, err = io.ReadAll(r.Body)
		r.Body.Close()
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut: %v", err)
	}

	p.Faults.Token(TokenNormal)
	p.Faults.TokenDelay(time.Millisecond)
	if status, m := refresh(t, p, tok.RefreshToken); status != 200 {
		t.Errorf("after all faults: %d %v", status, m["error"])
	}
}

// A stalled answer must end with its client, and with the provider.
func TestTokenStall(t *testing.T) {
	heard := make(chan struct{}, 8)
	p, err := Start(Options{Mailboxes: []string{alice}, Log: func(line string) {
		if strings.Contains(line, "left without an answer") {
			heard <- struct{}{}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Faults.Token(TokenStall)
	failed := make(chan error)
	go func() {
		_, err := browser.PostForm(p.TokenURL, refreshForm(p, "x"))
		failed <- err
	}()
	<-heard
	p.Close()
	if err := <-failed; err == nil {
		t.Error("a stalled request was answered")
	}
}
