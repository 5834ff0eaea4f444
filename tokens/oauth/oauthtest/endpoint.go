// Package oauthtest is a provider's OAuth service for tests: token endpoints that verify
// every request, unless a test sets another response.
package oauthtest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"

	"authferry/internal/secret"
)

// Endpoint is a token endpoint for the consent flow. Its tokens all contain the word
// CANARY, which no error and no log may contain.
type Endpoint struct {
	URL string

	mu        sync.Mutex
	n         int
	calls     int
	Rotate    bool
	Life      any                // expires_in
	Scope     string             // in answers; empty: none
	grants    map[string]*family // by refresh token
	access    map[string]*family
	codes     map[string]string // code: its challenge
	intercept func(w http.ResponseWriter, r *http.Request) (done bool)

	open   map[net.Conn]bool
	closed *sync.Cond // on mu
}

// family is one grant: RFC 9700 §4.14.2. The previous refresh token stays valid until
// its successor, or the access token issued with that, is used.
type family struct {
	current, previous, fresh string
	dead                     bool
}

func NewEndpoint(t testing.TB) *Endpoint {
	f := &Endpoint{Life: 3599, grants: map[string]*family{}, access: map[string]*family{}, codes: map[string]string{}}
	f.open, f.closed = map[net.Conn]bool{}, sync.NewCond(&f.mu)
	s := httptest.NewUnstartedServer(f)
	s.Config.ConnState = f.track
	s.Start()
	t.Cleanup(s.Close)
	f.URL = s.URL
	return f
}

// Grant issues a valid refresh token.
func (f *Endpoint) Grant() secret.String {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	token := fmt.Sprintf("1//refresh-CANARY-%d", f.n)
	f.grants[token] = &family{current: token}
	return secret.String(token)
}

// Does sets a function that may respond instead of the endpoint; nil: none.
func (f *Endpoint) Does(intercept func(http.ResponseWriter, *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.intercept = intercept
}

// Answers sets a fixed response.
func (f *Endpoint) Answers(status int, body string, headers ...string) {
	f.Does(func(w http.ResponseWriter, _ *http.Request) bool {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
		return true
	})
}

// Asked returns the number of calls.
func (f *Endpoint) Asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// track notes which connections are open.
func (f *Endpoint) track(c net.Conn, state http.ConnState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if state == http.StateNew {
		f.open[c] = true
	} else if state == http.StateClosed {
		delete(f.open, c)
		f.closed.Broadcast()
	}
}

// Settle waits until every call made so far is finished. The call of a killed process
// may still be in progress; finished after its successor's token is in use, it would
// be the reuse of an old refresh token, which no client can prevent.
func (f *Endpoint) Settle(t *testing.T) {
	// Connections are accepted in order, so all earlier ones are known once this one
	// has its response.
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get(f.URL + "/use")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.open) > 0 {
		f.closed.Wait()
	}
}

// Use is a login at the provider: it reports whether an access token is valid.
func (f *Endpoint) Use(access secret.String) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	g := f.access[access.Reveal()]
	if g == nil || g.dead {
		return false
	}
	if access.Reveal() == g.fresh {
		g.previous = ""
	}
	return true
}

func (f *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/use" {
		if !f.Use(secret.String(r.URL.Query().Get("token"))) {
			w.WriteHeader(http.StatusForbidden)
		}
		return
	}
	f.mu.Lock()
	f.calls++
	intercept := f.intercept
	f.mu.Unlock()
	if intercept != nil && intercept(w, r) {
		return
	}
	r.ParseForm()
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.PostForm.Get("client_id") != "client" || r.PostForm.Get("client_secret") != "secret-CANARY-client" {
		f.fail(w, http.StatusUnauthorized, "invalid_client", "The OAuth client was not found.")
		return
	}
	switch r.PostForm.Get("grant_type") {
	case "refresh_token":
		f.refresh(w, r.PostForm.Get("refresh_token"))
	case "authorization_code":
		f.exchange(w, r.PostForm)
	default:
		f.fail(w, http.StatusBadRequest, "unsupported_grant_type", "")
	}
}

func (f *Endpoint) refresh(w http.ResponseWriter, token string) {
	g := f.grants[token]
	if g == nil || g.dead || token != g.current && token != g.previous {
		if g != nil {
			g.dead = true
		}
		f.fail(w, http.StatusBadRequest, "invalid_grant", "Token has been expired or revoked: "+token)
		return
	}
	if token == g.current {
		g.previous = ""
	}
	f.n++
	out := map[string]any{"token_type": "Bearer"}
	if f.Rotate {
		next := fmt.Sprintf("1//refresh-CANARY-%d", f.n)
		g.previous, g.current = token, next
		f.grants[next] = g
		out["refresh_token"] = next
	}
	f.send(w, g, out)
}

func (f *Endpoint) exchange(w http.ResponseWriter, form url.Values) {
	challenge, ok := f.codes[form.Get("code")]
	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	if !ok || base64.RawURLEncoding.EncodeToString(sum[:]) != challenge {
		f.fail(w, http.StatusBadRequest, "invalid_grant", "Malformed auth code "+form.Get("code"))
		return
	}
	delete(f.codes, form.Get("code"))
	f.n++
	token := fmt.Sprintf("1//refresh-CANARY-%d", f.n)
	g := &family{current: token}
	f.grants[token] = g
	f.send(w, g, map[string]any{"refresh_token": token, "refresh_token_expires_in": 604799})
}

func (f *Endpoint) send(w http.ResponseWriter, g *family, out map[string]any) {
	access := "ya29.access-CANARY-" + strconv.Itoa(f.n)
	g.fresh = access
	f.access[access] = g
	out["access_token"] = access
	if f.Life != nil {
		out["expires_in"] = f.Life
	}
	if f.Scope != "" {
		out["scope"] = f.Scope
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	json.NewEncoder(w).Encode(out)
}

func (f *Endpoint) fail(w http.ResponseWriter, status int, code, description string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": description})
}

// Visit gives the owner's consent and returns the address that the browser is
// redirected to.
func (f *Endpoint) Visit(t testing.TB, consent string) string {
	t.Helper()
	u, err := url.Parse(consent)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("client_id") != "client" || q.Get("state") == "" {
		t.Fatalf("the consent page is asked for %v", q)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	code := fmt.Sprintf("4/code-CANARY-%d", f.n)
	f.codes[code] = q.Get("code_challenge")
	return q.Get("redirect_uri") + "/?" + url.Values{"state": q["state"], "code": {code}, "scope": {"https://mail.google.com/"}}.Encode()
}

// Stall makes the endpoint wait until it is released.
func (f *Endpoint) Stall() (arrived <-chan struct{}, release func()) {
	in, out := make(chan struct{}, 100), make(chan struct{})
	f.Does(func(_ http.ResponseWriter, r *http.Request) bool {
		in <- struct{}{}
		<-out
		return false
	})
	return in, sync.OnceFunc(func() { close(out) })
}
