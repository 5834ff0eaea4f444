package oauth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"authferry/internal/secret"
	"authferry/internal/testport"
	"authferry/tokens/oauth/oauthtest"
)

// jwtOf returns an unsigned JWT with claims.
func jwtOf(claims string) string {
	return "eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

// TestWhoIs: the ID token first, then the userinfo endpoint, then the claims of the
// access token.
func TestWhoIs(t *testing.T) {
	f := oauthtest.NewEndpoint(t)
	work := jwtOf(`{"upn":"Work@Example.com","scp":"IMAP.AccessAsUser.All"}`)
	for name, c := range map[string]struct {
		token  Token
		status int // of the userinfo endpoint; 0: there is none
		body   string
		want   string
		says   string
	}{
		"ID token":           {Token{Access: "CANARY", Owner: "id@example.com"}, 500, "", "id@example.com", ""},
		"Gmail's profile":    {Token{Access: "CANARY"}, 200, `{"emailAddress":"You@gmail.com","messagesTotal":1}`, "you@gmail.com", ""},
		"OpenID Connect's":   {Token{Access: "CANARY"}, 200, `{"sub":"1","email":"you@example.com"}`, "you@example.com", ""},
		"Graph's":            {Token{Access: "CANARY"}, 200, `{"mail":null,"userPrincipalName":"you@example.com"}`, "you@example.com", ""},
		"a name, an address": {Token{Access: "CANARY"}, 200, `{"upn":"you","mail":"you@example.com"}`, "you@example.com", ""},
		"access token":       {Token{Access: secret.String(work)}, 0, "", "work@example.com", ""},
		"told over claimed":  {Token{Access: secret.String(work)}, 200, `{"email":"told@example.com"}`, "told@example.com", ""},
		"claimed, at least":  {Token{Access: secret.String(work)}, 403, `{"error":"no"}`, "work@example.com", ""},
		"nothing":            {Token{Access: "CANARY"}, 0, "", "", "set userinfo_url"},
		"API switched off":   {Token{Access: "CANARY"}, 403, `{"error":{"code":403,"message":"Gmail API has not been used in project 1","status":"PERMISSION_DENIED"}}`, "", "Gmail API has not been used"},
		"told back":          {Token{Access: "CANARY"}, 401, `{"error":"CANARY is no token"}`, "", "is no token"},
		"not an address":     {Token{Access: "CANARY"}, 200, `{"email":"you\r\n@example.com"}`, "", "names no address"},
		"a list":             {Token{Access: "CANARY"}, 200, `[]`, "", "names no address"},
		"outage":             {Token{Access: "CANARY"}, 502, `<html>`, "", "502"},
	} {
		t.Run(name, func(t *testing.T) {
			p := fakeProvider(f)
			if c.status != 0 {
				p.UserInfoURL = f.URL + "/me"
			}
			f.Does(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodGet || r.Header.Get("Authorization") != "Bearer "+c.token.Access.Reveal() {
					t.Errorf("%s with %q", r.Method, r.Header)
				}
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
				return true
			})
			got, err := p.WhoIs(t.Context(), &c.token)
			if got != c.want || (err == nil) != (c.says == "") || err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "CANARY")) {
				t.Errorf("%q, %v; want %q, %q", got, err, c.want, c.says)
			}
		})
	}
}

// TestIDToken: the token of a consent says who signed in; a stored token does not.
func TestIDToken(t *testing.T) {
	f := oauthtest.NewEndpoint(t)
	p := fakeProvider(f)
	f.Answers(200, fmt.Sprintf(`{"access_token":"ya29.CANARY","refresh_token":"1//CANARY","id_token":%q}`, jwtOf(`{"preferred_username":"You@Example.com"}`)))
	c := newVisit(t, p)
	token, err := c.Finish(t.Context(), redirectTo+"/?code=4/CANARY&state="+c.state.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if who, err := p.WhoIs(t.Context(), token); err != nil || who != "you@example.com" {
		t.Errorf("%q, %v", who, err)
	}
	for _, odd := range []string{`7`, `""`, `"a.b"`, `"a.!.c"`, `"` + jwtOf(`[]`) + `"`, `"` + jwtOf(`{"email":7}`) + `"`} {
		f.Answers(200, `{"access_token":"ya29.CANARY","id_token":`+odd+`}`)
		token, err := requestToken(t.Context(), p, map[string][]string{}, time.Now())
		if err != nil || token.Owner != "" {
			t.Errorf("%s: %v", odd, err)
		}
	}
}

// TestRevoke: a revoked grant has ended, whatever the response says.
func TestRevoke(t *testing.T) {
	f := oauthtest.NewEndpoint(t)
	grant := Token{Access: "ya29.CANARY", Refresh: "1//CANARY"}
	for name, c := range map[string]struct {
		status int
		body   string
		says   string
	}{
		"done":       {200, `{}`, ""},
		"gone":       {400, `{"error":"invalid_token","error_description":"Token expired or revoked"}`, ""},
		"never was":  {400, `{"error":"invalid_grant"}`, ""},
		"outage":     {503, `{"error":"invalid_token"}`, "503"},
		"HTML":       {502, `<html>`, "502 Bad Gateway"},
		"told back":  {400, `{"error":"unsupported_token_type","error_description":"1//CANARY"}`, "unsupported_token_type"},
		"the client": {401, `{"error":"invalid_client"}`, "check client_id"},
	} {
		f.Does(func(w http.ResponseWriter, r *http.Request) bool {
			r.ParseForm()
			if r.PostForm.Get("token") != "1//CANARY" || r.PostForm.Get("token_type_hint") != "refresh_token" || r.PostForm.Get("client_id") != "client" {
				t.Errorf("revoked with %v", r.PostForm)
			}
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
			return true
		})
		p := fakeProvider(f)
		p.RevokeURL = f.URL + "/revoke"
		err := p.Revoke(t.Context(), grant)
		if (err == nil) != (c.says == "") || err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "CANARY")) {
			t.Errorf("%s: %v; want %q", name, err, c.says)
		}
	}
	calls := f.Asked()
	p := fakeProvider(f)
	if err := p.Revoke(t.Context(), grant); !errors.Is(err, errNoRevocation) {
		t.Errorf("no revoke_url: %v", err)
	}
	p.RevokeURL = f.URL + "/revoke"
	if err := p.Revoke(t.Context(), Token{}); err != nil {
		t.Errorf("no grant: %v", err)
	}
	p.Flow = FlowServiceAccount
	if err := p.Revoke(t.Context(), Token{Access: "ya29.CANARY"}); err != nil {
		t.Errorf("no person: %v", err)
	}
	if f.Asked() != calls {
		t.Error("asked for nothing")
	}
	p.Flow, p.RevokeURL = FlowConsent, "http://"+testport.Refused(t)+"/revoke"
	if err := p.Revoke(t.Context(), grant); !errors.Is(err, ErrUnavailable) {
		t.Errorf("nobody there: %v", err)
	}
}
