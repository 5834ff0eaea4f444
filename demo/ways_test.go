package demo

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/oauth2/jwt"
)

// The judges here are golang.org/x/oauth2's clients of each flow.

// serviceAccount reads the file as any program would.
func serviceAccount(t *testing.T, p *Provider) (c *jwt.Config, clientID string) {
	t.Helper()
	var f struct {
		Type     string
		Email    string `json:"client_email"`
		Key      string `json:"private_key"`
		KeyID    string `json:"private_key_id"`
		TokenURI string `json:"token_uri"`
		ClientID string `json:"client_id"`
	}
	if err := json.Unmarshal(p.ServiceAccountJSON(), &f); err != nil || f.Type != "service_account" {
		t.Fatalf("type %q, %v", f.Type, err)
	}
	return &jwt.Config{Email: f.Email, PrivateKey: []byte(f.Key), PrivateKeyID: f.KeyID, TokenURL: f.TokenURI, Scopes: []string{gmailScope}}, f.ClientID
}

// refusedWith checks the error of one of x/oauth2's clients.
func refusedWith(t *testing.T, err error, status int, code, words string) {
	t.Helper()
	var e *oauth2.RetrieveError
	if !errors.As(err, &e) {
		t.Fatalf("not refused: %v", err)
	}
	var body struct {
		Error       string
		Description string `json:"error_description"`
	}
	if json.Unmarshal(e.Body, &body) != nil || e.Response.StatusCode != status || body.Error != code || !strings.Contains(body.Description, words) {
		t.Fatalf("%s %s, want %d %s %q", e.Response.Status, e.Body, status, code, words)
	}
}

func TestServiceAccount(t *testing.T) {
	p := start(t, Options{})
	c, id := serviceAccount(t, p)
	if id == "" {
		t.Error("no client id to delegate to")
	}
	c.Subject = alice
	tok, err := c.TokenSource(web(t)).Token()
	if err != nil {
		t.Fatal(err)
	}
	if tok.RefreshToken != "" || len(tok.AccessToken) != serviceTokenLength {
		t.Errorf("an access token of %d characters, a refresh token: %v", len(tok.AccessToken), tok.RefreshToken != "")
	}
	dial(t, p, p.IMAP).talk(imapLogin, xoauth2(alice, tok.AccessToken))
	dial(t, p, p.POP3).talk(pop3Login, xoauth2(alice, tok.AccessToken))
	dial(t, p, p.IMAP).talk(imapRefusal, "XOAUTH2", xoauth2(bob, tok.AccessToken), xoauth2Challenge, "")

	// Its own token opens nothing: jstedfast/MailKit#1786.
	c.Subject = ""
	if tok, err = c.TokenSource(web(t)).Token(); err != nil {
		t.Fatal(err)
	}
	dial(t, p, p.IMAP).talk("S: <*>\nC: a AUTHENTICATE XOAUTH2 %s\nS: + %s\nC: \nS: a NO Lookup failed <id>", xoauth2(c.Email, tok.AccessToken), xoauth2Challenge)

	c.Subject = "nobody@gmail.com"
	_, err = c.TokenSource(web(t)).Token()
	refusedWith(t, err, 400, "invalid_grant", "Invalid email or User ID")

	c.Subject, c.Scopes = alice, []string{gmailScope, "https://www.googleapis.com/auth/drive"}
	_, err = c.TokenSource(web(t)).Token()
	refusedWith(t, err, 401, "unauthorized_client", "Client is unauthorized to retrieve access tokens using this method")

	c.Scopes = []string{gmailScope}
	p.Faults.NoDelegation(true)
	_, err = c.TokenSource(web(t)).Token()
	refusedWith(t, err, 401, "unauthorized_client", "not authorized for any of the scopes requested")
	p.Faults.NoDelegation(false)

	for _, wrong := range []time.Duration{-time.Hour, 2 * time.Hour} {
		p.Faults.Clock(wrong)
		_, err = c.TokenSource(web(t)).Token()
		refusedWith(t, err, 400, "invalid_grant", "short-lived token (60 minutes)")
	}
}

// statement is an assertion made by hand, so that each part can be spoilt.
type statement struct {
	header, claims map[string]any
	key            *rsa.PrivateKey
	pss            bool
}

func (s statement) sign(t *testing.T) string {
	t.Helper()
	encode := func(m map[string]any) string {
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	signed := encode(s.header) + "." + encode(s.claims)
	sum := sha256.Sum256([]byte(signed))
	var signature []byte
	var err error
	if s.pss {
		signature, err = rsa.SignPSS(rand.Reader, s.key, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	} else {
		signature, err = rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, sum[:])
	}
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func TestServiceAccountAssertionsAreJudged(t *testing.T) {
	p := start(t, Options{})
	c, _ := serviceAccount(t, p)
	now := time.Now().Unix()
	for name, k := range map[string]struct {
		spoil       func(*statement)
		code, words string
	}{
		"good":          {func(*statement) {}, "", ""},
		"no key id":     {func(s *statement) { delete(s.header, "kid") }, "", ""},
		"another kid":   {func(s *statement) { s.header["kid"] = "x" }, "invalid_grant", "Invalid JWT Signature."},
		"another key":   {func(s *statement) { s.key = readKey(t, p.ClientKeyPEM()) }, "invalid_grant", "Invalid JWT Signature."},
		"PS256":         {func(s *statement) { s.header["alg"], s.pss = "PS256", true }, "invalid_grant", "Invalid JWT Signature."},
		"none":          {func(s *statement) { s.header["alg"] = "none" }, "invalid_grant", "Invalid JWT Signature."},
		"issuer":        {func(s *statement) { s.claims["iss"] = alice }, "invalid_grant", "account not found"},
		"audience":      {func(s *statement) { s.claims["aud"] = "https://example.org" }, "invalid_grant", "Failed audience check"},
		"too long":      {func(s *statement) { s.claims["exp"] = now + 3601 }, "invalid_grant", "short-lived token"},
		"expired":       {func(s *statement) { s.claims["exp"] = now - 1 }, "invalid_grant", "short-lived token"},
		"no times":      {func(s *statement) { delete(s.claims, "iat") }, "invalid_grant", "short-lived token"},
		"far ahead":     {func(s *statement) { s.claims["iat"], s.claims["exp"] = now+900, now+1800 }, "invalid_grant", "short-lived token"},
		"no scope":      {func(s *statement) { s.claims["scope"] = " " }, "invalid_scope", "Empty or missing scope"},
		"unknown scope": {func(s *statement) { s.claims["scope"] = "mail" }, "invalid_scope", "mail"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &statement{
				header: map[string]any{"alg": "RS256", "typ": "JWT", "kid": c.PrivateKeyID},
				claims: map[string]any{"iss": c.Email, "sub": alice, "scope": gmailScope, "aud": p.TokenURL, "iat": now, "exp": now + 3600},
				key:    readKey(t, c.PrivateKey),
			}
			k.spoil(s)
			r, m := post(t, p.TokenURL, url.Values{"grant_type": {grantJWTBearer}, "assertion": {s.sign(t)}})
			if k.code == "" {
				if r.StatusCode != 200 {
					t.Fatalf("%d %v", r.StatusCode, m)
				}
				return
			}
			wantError(t, r.StatusCode, m, 400, k.code)
			if words, _ := m["error_description"].(string); !strings.Contains(words, k.words) {
				t.Errorf("described as %q", words)
			}
		})
	}
	if n := p.TokenCalls(grantJWTBearer); n != 14 {
		t.Errorf("counted %d", n)
	}
	r, m := post(t, p.TokenURL, url.Values{"grant_type": {grantJWTBearer}, "assertion": {"a.b.c"}})
	wantError(t, r.StatusCode, m, 400, "invalid_grant")
}

func TestDeviceCode(t *testing.T) {
	p := start(t, Options{})
	c := config(p)
	c.Endpoint.DeviceAuthURL = p.DeviceURL
	d, err := c.DeviceAuth(web(t))
	if err != nil {
		t.Fatal(err)
	}
	if d.VerificationURI == "" || !strings.HasPrefix(d.VerificationURIComplete, d.VerificationURI) || d.Interval != 1 || time.Until(d.Expiry) < 29*time.Minute {
		t.Errorf("interval %d, expiry %s, %s", d.Interval, d.Expiry, d.VerificationURIComplete)
	}
	if err := p.ConfirmDevice("BBBB-BBBB", alice); err == nil {
		t.Error("a code that nobody shows was taken")
	}
	if err := p.ConfirmDevice(d.UserCode, "nobody@gmail.com"); err == nil {
		t.Error("a stranger signed in")
	}
	if err := p.ConfirmDevice(strings.ToLower(strings.ReplaceAll(d.UserCode, "-", "")), alice); err != nil {
		t.Fatal(err)
	}
	if err := p.ConfirmDevice(d.UserCode, alice); err == nil {
		t.Error("a code was taken twice")
	}
	tok, err := c.DeviceAccessToken(web(t), d)
	if err != nil {
		t.Fatal(err)
	}
	dial(t, p, p.IMAP).talk(imapLogin, xoauth2(alice, tok.AccessToken))
	if status, m := refresh(t, p, tok.RefreshToken); status != 200 {
		t.Errorf("no refresh: %v", m["error"])
	}
	if _, err := c.DeviceAccessToken(web(t), d); err == nil {
		t.Error("a device code is good for ever")
	}
}

// poll asks once, as a device does.
func poll(t *testing.T, p *Provider, code string) (int, map[string]any) {
	t.Helper()
	r, m := post(t, p.TokenURL, url.Values{
		"grant_type": {grantDeviceCode}, "device_code": {code}, "client_id": {p.ClientID}, "client_secret": {p.ClientSecret},
	})
	return r.StatusCode, m
}

func ask(t *testing.T, p *Provider) (code, userCode string) {
	t.Helper()
	r, m := post(t, p.DeviceURL, url.Values{"client_id": {p.ClientID}, "scope": {p.Scope}})
	if r.StatusCode != 200 {
		t.Fatalf("%d %v", r.StatusCode, m)
	}
	return m["device_code"].(string), m["user_code"].(string)
}

func TestDeviceCodeAnswers(t *testing.T) {
	t.Run("pending, hasty", func(t *testing.T) {
		p := start(t, Options{DeviceInterval: time.Hour})
		code, _ := ask(t, p)
		status, m := poll(t, p, code)
		wantError(t, status, m, 428, "authorization_pending")
		status, m = poll(t, p, code)
		wantError(t, status, m, 403, "slow_down")
	})
	t.Run("denied", func(t *testing.T) {
		p := start(t, Options{DeviceInterval: time.Nanosecond})
		code, userCode := ask(t, p)
		if err := p.DenyDevice(userCode); err != nil {
			t.Fatal(err)
		}
		status, m := poll(t, p, code)
		wantError(t, status, m, 403, "access_denied")
	})
	t.Run("expired", func(t *testing.T) {
		p := start(t, Options{DeviceLife: time.Nanosecond})
		code, userCode := ask(t, p)
		if err := p.ConfirmDevice(userCode, alice); err == nil {
			t.Error("a code was taken after its time")
		}
		status, m := poll(t, p, code)
		wantError(t, status, m, 400, "expired_token")
	})
	t.Run("not for mail", func(t *testing.T) {
		p := start(t, Options{NoDeviceMail: true})
		r, m := post(t, p.DeviceURL, url.Values{"client_id": {p.ClientID}, "scope": {p.Scope}})
		wantError(t, r.StatusCode, m, 400, "invalid_scope")
	})
	t.Run("refused", func(t *testing.T) {
		p := start(t, Options{})
		r, m := post(t, p.DeviceURL, url.Values{"client_id": {"someone"}, "scope": {p.Scope}})
		wantError(t, r.StatusCode, m, 401, "invalid_client")
		r, m = post(t, p.DeviceURL, url.Values{"client_id": {p.ClientID}})
		wantError(t, r.StatusCode, m, 400, "invalid_request")
		status, m := poll(t, p, "made up")
		wantError(t, status, m, 400, "invalid_grant")
	})
	t.Run("public client", func(t *testing.T) {
		p := start(t, Options{PublicClient: true, DeviceInterval: time.Nanosecond})
		code, userCode := ask(t, p)
		if err := p.ConfirmDevice(userCode, bob); err != nil || p.ClientSecret != "" {
			t.Fatal(err)
		}
		if status, m := poll(t, p, code); status != 200 {
			t.Errorf("%d %v", status, m["error"])
		}
	})
}

func TestClientCredentials(t *testing.T) {
	p := start(t, Options{Shared: map[string][]string{"info@gmail.com": nil}})
	c := &clientcredentials.Config{
		ClientID: p.ClientID, ClientSecret: p.ClientSecret, TokenURL: p.TokenURL,
		Scopes: []string{"https://outlook.office365.com/.default"}, AuthStyle: oauth2.AuthStyleInParams,
	}
	tok, err := c.Token(web(t))
	if err != nil {
		t.Fatal(err)
	}
	if tok.RefreshToken != "" || tok.Extra("scope") != nil {
		t.Errorf("scope %v, a refresh token: %v", tok.Extra("scope"), tok.RefreshToken != "")
	}
	for _, mailbox := range []string{alice, bob, "info@gmail.com"} {
		dial(t, p, p.POP3).talk(pop3Login, xoauth2(mailbox, tok.AccessToken))
	}
	dial(t, p, p.IMAP).talk("S: <*>\nC: a AUTHENTICATE XOAUTH2 %s\nS: + %s\nC: \nS: a NO Lookup failed <id>", xoauth2("nobody@gmail.com", tok.AccessToken), xoauth2Challenge)
	p.Faults.NoDelegation(true)
	dial(t, p, p.IMAP).talk(imapRefusal, "XOAUTH2", xoauth2(alice, tok.AccessToken), xoauth2Challenge, "")

	c.Scopes = []string{"https://outlook.office365.com/IMAP.AccessAsApp"}
	_, err = c.Token(web(t))
	refusedWith(t, err, 400, "invalid_scope", "AADSTS1002012")
	c.ClientSecret = "guess"
	_, err = c.Token(web(t))
	refusedWith(t, err, 401, "invalid_client", "Unauthorized")

	p = start(t, Options{PublicClient: true})
	c.ClientID, c.ClientSecret, c.TokenURL = p.ClientID, "", p.TokenURL
	_, err = c.Token(web(t))
	refusedWith(t, err, 401, "invalid_client", "AADSTS7000218")
}

func TestClientCertificate(t *testing.T) {
	p := start(t, Options{})
	pair, err := tls.X509KeyPair(p.ClientCertificatePEM(), p.ClientKeyPEM())
	if err != nil {
		t.Fatal(err)
	}
	account, _ := serviceAccount(t, p)
	block, _ := pem.Decode(p.ClientCertificatePEM())
	old, modern := sha1.Sum(block.Bytes), sha256.Sum256(block.Bytes)
	x5t, x5tS256 := base64.RawURLEncoding.EncodeToString(old[:]), base64.RawURLEncoding.EncodeToString(modern[:])
	now := time.Now().Unix()
	for name, k := range map[string]struct {
		spoil func(*statement, url.Values)
		words string
	}{
		"RS256, x5t": {func(*statement, url.Values) {}, ""},
		"PS256, x5t#S256": {func(s *statement, _ url.Values) {
			s.pss, s.header = true, map[string]any{"alg": "PS256", "x5t#S256": x5tS256}
		}, ""},
		"no client_id":      {func(_ *statement, f url.Values) { f.Del("client_id") }, ""},
		"no thumbprint":     {func(s *statement, _ url.Values) { delete(s.header, "x5t") }, "AADSTS700027"},
		"another's":         {func(s *statement, _ url.Values) { s.header["x5t"] = x5tS256 }, "AADSTS700027"},
		"another's too":     {func(s *statement, _ url.Values) { s.header["x5t#S256"] = x5t }, "AADSTS700027"},
		"another key":       {func(s *statement, _ url.Values) { s.key = readKey(t, account.PrivateKey) }, "AADSTS700027"},
		"algorithm":         {func(s *statement, _ url.Values) { s.header["alg"] = "PS256" }, "AADSTS700027"},
		"audience":          {func(s *statement, _ url.Values) { s.claims["aud"] = "https://example.org" }, "AADSTS700023"},
		"issuer":            {func(s *statement, _ url.Values) { s.claims["iss"] = "x" }, "AADSTS700021"},
		"subject":           {func(s *statement, _ url.Values) { s.claims["sub"] = alice }, "AADSTS700021"},
		"client_id":         {func(_ *statement, f url.Values) { f.Set("client_id", "x") }, "AADSTS700021"},
		"expired":           {func(s *statement, _ url.Values) { s.claims["exp"] = now - 1 }, "AADSTS700024"},
		"no jti":            {func(s *statement, _ url.Values) { delete(s.claims, "jti") }, "AADSTS50027"},
		"assertion type":    {func(_ *statement, f url.Values) { f.Del("client_assertion_type") }, "AADSTS50027"},
		"and a secret":      {func(_ *statement, f url.Values) { f.Set("client_secret", p.ClientSecret) }, "AADSTS70002"},
		"not a JWT":         {func(_ *statement, f url.Values) { f.Set("client_assertion", "x.y") }, "AADSTS50027"},
		"an array audience": {func(s *statement, _ url.Values) { s.claims["aud"] = []string{p.TokenURL} }, "AADSTS50027"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &statement{
				header: map[string]any{"alg": "RS256", "typ": "JWT", "x5t": x5t},
				claims: map[string]any{"iss": p.ClientID, "sub": p.ClientID, "aud": p.TokenURL, "jti": "1", "nbf": now, "exp": now + 300},
				key:    pair.PrivateKey.(*rsa.PrivateKey),
			}
			form := url.Values{
				"grant_type": {"client_credentials"}, "scope": {gmailScope}, "client_id": {p.ClientID},
				"client_assertion_type": {clientAssertionType}, "client_assertion": {""},
			}
			k.spoil(s, form)
			if form.Get("client_assertion") == "" {
				form.Set("client_assertion", s.sign(t))
			}
			r, m := post(t, p.TokenURL, form)
			if k.words == "" {
				if r.StatusCode != 200 {
					t.Fatalf("%d %v", r.StatusCode, m)
				}
				return
			}
			wantError(t, r.StatusCode, m, 401, "invalid_client")
			if words, _ := m["error_description"].(string); !strings.Contains(words, k.words+":") {
				t.Errorf("described as %q", words)
			}
		})
	}
}

func TestSharedMailboxes(t *testing.T) {
	const info = "info@gmail.com"
	p := start(t, Options{Shared: map[string][]string{"Info@gmail.com": {"Alice@gmail.com"}, bob: {alice}}})
	tok, other := connect(t, p, alice).AccessToken, connect(t, p, bob).AccessToken
	dial(t, p, p.IMAP).talk(`S: <*>
		C: a AUTHENTICATE XOAUTH2 %s
		S: * CAPABILITY <*>
		S: a OK info@gmail.com authenticated (Success)`, xoauth2(info, tok))
	dial(t, p, p.POP3).talk(pop3Login, xoauth2(bob, tok))
	dial(t, p, p.POP3).talk(pop3Login, xoauth2(alice, tok))
	dial(t, p, p.IMAP).talk(imapRefusal, "XOAUTH2", xoauth2(info, other), xoauth2Challenge, "")
	dial(t, p, p.IMAP).talk(imapRefusal, "XOAUTH2", xoauth2(alice, other), xoauth2Challenge, "")
	if err := p.Deliver(info, []byte("x\r\n")); err != nil {
		t.Error(err)
	}
	if _, err := p.Consent(config(p).AuthCodeURL("s"), info); err == nil {
		t.Error("somebody signed in as a shared mailbox")
	}
}

func TestIDToken(t *testing.T) {
	p := start(t, Options{})
	c := config(p)
	c.Scopes = append(c.Scopes, "openid", "email")
	redirected, err := p.Consent(c.AuthCodeURL("s"), bob)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := c.Exchange(web(t), query(t, redirected).Get("code"))
	if err != nil {
		t.Fatal(err)
	}
	_, refreshed := refresh(t, p, tok.RefreshToken)
	for _, raw := range []any{tok.Extra("id_token"), refreshed["id_token"]} {
		compact, _ := raw.(string)
		parts := strings.Split(compact, ".")
		if len(parts) != 3 {
			t.Fatalf("no id_token: %q", compact)
		}
		b, _ := base64.RawURLEncoding.DecodeString(parts[1])
		var claims struct {
			Iss, Aud string
			Email    string
			Verified bool `json:"email_verified"`
		}
		if json.Unmarshal(b, &claims) != nil || claims.Email != bob || !claims.Verified ||
			claims.Aud != p.ClientID || claims.Iss != "https://accounts.google.com" {
			t.Errorf("claims %+v", claims)
		}
	}
	if connect(t, p, alice).Extra("id_token") != nil {
		t.Error("an id_token that nobody asked for")
	}
}

func TestProfile(t *testing.T) {
	p := start(t, Options{})
	get := func(token string) (int, map[string]any) {
		t.Helper()
		q, _ := http.NewRequest("GET", p.UserInfoURL, nil)
		q.Header.Set("Authorization", "Bearer "+token)
		r, err := browser.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, answer(t, r)
	}
	if status, m := get(connect(t, p, alice).AccessToken); status != 200 || m["emailAddress"] != alice {
		t.Errorf("%d %v", status, m)
	}
	if status, _ := get("nonsense"); status != 401 {
		t.Errorf("nonsense: %d", status)
	}
	p.Faults.GrantScopes("openid")
	if status, _ := get(connect(t, p, alice).AccessToken); status != 403 {
		t.Errorf("another scope: %d", status)
	}
}

// Google revokes all that a person granted to a project, not only the one grant.
func TestRevokingEndsAllOfAPersonsGrants(t *testing.T) {
	p := start(t, Options{})
	one, two, other := connect(t, p, alice), connect(t, p, alice), connect(t, p, bob)
	if r, _ := post(t, p.RevokeURL, url.Values{"token": {one.AccessToken}}); r.StatusCode != 200 {
		t.Fatal(r.Status)
	}
	for _, tok := range []*oauth2.Token{one, two} {
		status, m := refresh(t, p, tok.RefreshToken)
		wantError(t, status, m, 400, "invalid_grant")
	}
	if !isGood(t, p, other.AccessToken) {
		t.Error("another person's grant has gone too")
	}
	c, _ := serviceAccount(t, p)
	c.Subject = bob
	tok, err := c.TokenSource(web(t)).Token()
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := post(t, p.RevokeURL, url.Values{"token": {tok.AccessToken}}); r.StatusCode != 200 || isGood(t, p, tok.AccessToken) || !isGood(t, p, other.AccessToken) {
		t.Error("a service account's token ends alone")
	}
}

func TestClock(t *testing.T) {
	p := start(t, Options{})
	p.Faults.Clock(-90 * time.Minute)
	r, err := browser.Get(p.TokenURL)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	said, err := http.ParseTime(r.Header.Get("Date"))
	if behind := time.Since(said); err != nil || behind < 89*time.Minute || behind > 95*time.Minute {
		t.Errorf("Date %q, %v", r.Header.Get("Date"), err)
	}
}
