package tokens

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
)

// fakeEndpoint is a token endpoint that really checks what it is told, and
// lies where a test says so. Its tokens all hold the word CANARY, which must
// turn up in no error and no log.
type fakeEndpoint struct {
	URL string

	mu        sync.Mutex
	n         int
	calls     int
	rotate    bool
	life      any                // expires_in
	scope     string             // in answers; empty: none
	grants    map[string]*family // by refresh token
	access    map[string]*family
	codes     map[string]string // code: its challenge
	intercept func(w http.ResponseWriter, r *http.Request) (done bool)

	open   map[net.Conn]bool
	closed *sync.Cond // on mu
}

// family is one grant: RFC 9700 §4.14.2. The previous refresh token stays good
// until its successor, or the access token that came with that, is used.
type family struct {
	current, previous, fresh string
	dead                     bool
}

func newFakeEndpoint(t testing.TB) *fakeEndpoint {
	f := &fakeEndpoint{life: 3599, grants: map[string]*family{}, access: map[string]*family{}, codes: map[string]string{}}
	f.open, f.closed = map[net.Conn]bool{}, sync.NewCond(&f.mu)
	s := httptest.NewUnstartedServer(f)
	s.Config.ConnState = f.track
	s.Start()
	t.Cleanup(s.Close)
	f.URL = s.URL
	return f
}

// grant makes a refresh token that is good.
func (f *fakeEndpoint) grant() Secret {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	token := fmt.Sprintf("1//refresh-CANARY-%d", f.n)
	f.grants[token] = &family{current: token}
	return Secret(token)
}

// does sets what happens instead of an answer, nil for the truth.
func (f *fakeEndpoint) does(intercept func(http.ResponseWriter, *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.intercept = intercept
}

// answers sets a fixed answer.
func (f *fakeEndpoint) answers(status int, body string, headers ...string) {
	f.does(func(w http.ResponseWriter, _ *http.Request) bool {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
		return true
	})
}

// asked is how many calls there were.
func (f *fakeEndpoint) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// track notes which connections are open.
func (f *fakeEndpoint) track(c net.Conn, state http.ConnState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if state == http.StateNew {
		f.open[c] = true
	} else if state == http.StateClosed {
		delete(f.open, c)
		f.closed.Broadcast()
	}
}

// settle waits until every call made so far has been dealt with. What a killed
// process asked for is still under way when it is dead, and were it dealt with
// after its successor's token is in use, that would be the reuse of an old
// refresh token: no client could help it.
func (f *fakeEndpoint) settle(t *testing.T) {
	// Connections are accepted in the order they came, so that those before
	// this one are all known once it has been answered.
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

// use is a login at the provider: it tells whether an access token is good.
func (f *fakeEndpoint) use(access Secret) bool {
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

func (f *fakeEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/use" {
		if !f.use(Secret(r.URL.Query().Get("token"))) {
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

func (f *fakeEndpoint) refresh(w http.ResponseWriter, token string) {
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
	if f.rotate {
		next := fmt.Sprintf("1//refresh-CANARY-%d", f.n)
		g.previous, g.current = token, next
		f.grants[next] = g
		out["refresh_token"] = next
	}
	f.send(w, g, out)
}

func (f *fakeEndpoint) exchange(w http.ResponseWriter, form url.Values) {
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

func (f *fakeEndpoint) send(w http.ResponseWriter, g *family, out map[string]any) {
	access := "ya29.access-CANARY-" + strconv.Itoa(f.n)
	g.fresh = access
	f.access[access] = g
	out["access_token"] = access
	if f.life != nil {
		out["expires_in"] = f.life
	}
	if f.scope != "" {
		out["scope"] = f.scope
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	json.NewEncoder(w).Encode(out)
}

func (f *fakeEndpoint) fail(w http.ResponseWriter, status int, code, description string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": description})
}
