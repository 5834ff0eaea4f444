// Package consoletest is what tests of the web console share: a vault with two
// mailboxes, a clock that the test turns, a log that it reads, and a browser that
// checks what every answer has in common.
package consoletest

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"authferry/internal/console/people"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// The secrets of the vault, which no answer and no log may contain.
const (
	AccessToken  = "ya29.canary-of-an-access-token"
	RefreshToken = "1//canary-of-a-refresh-token"
	ClientSecret = "canary-of-a-client-secret"
)

// Mine and Theirs are the mailboxes of the vault.
const Mine, Theirs = "me@example.org", "them@example.org"

// Stage is a vault with two mailboxes, and a server for the console on top of it.
type Stage struct {
	*testing.T
	Vault    *tokens.Vault
	Provider *oauth.Provider
	Log      *zap.Logger
	URL      string // of the server

	logged logged
	wire   *http.Transport
	mu     sync.Mutex
	at     time.Time
}

// New returns a stage. Serve starts its server.
func New(t *testing.T) *Stage {
	t.Helper()
	dir := t.TempDir()
	seal, err := store.LoadSeal("", dir)
	if err != nil {
		t.Fatal(err)
	}
	files, err := store.OpenFiles(dir, seal)
	if err != nil {
		t.Fatal(err)
	}
	s := &Stage{
		T: t, at: time.Now(), wire: &http.Transport{},
		Provider: &oauth.Provider{Name: "gmail", ClientID: "id", ClientSecret: ClientSecret},
	}
	s.Log = zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&s.logged), zap.DebugLevel))
	s.Vault = tokens.NewVault(files, tokens.Settings{Providers: map[string]*oauth.Provider{"gmail": s.Provider}}, s.Log)
	t.Cleanup(func() { s.Vault.Close(context.Background()) })
	for _, mailbox := range []string{Mine, Theirs} {
		grant := &oauth.Token{Access: AccessToken, Refresh: RefreshToken, Minted: s.at, Expiry: s.at.Add(time.Hour)}
		if err := s.Vault.Connect(t.Context(), tokens.Connection{Mailbox: mailbox, Provider: "gmail", Token: grant}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Vault.AddPassword(t.Context(), mailbox, tokens.PasswordSpec{Name: "CRM"}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// Serve starts the server.
func (s *Stage) Serve(console http.Handler) {
	server := httptest.NewServer(console)
	s.Cleanup(server.Close)
	s.Cleanup(s.wire.CloseIdleConnections)
	s.URL = server.URL
}

// Now returns the time by the clock of the stage.
func (s *Stage) Now() time.Time { s.mu.Lock(); defer s.mu.Unlock(); return s.at }

// Pass turns the clock.
func (s *Stage) Pass(d time.Duration) { s.mu.Lock(); defer s.mu.Unlock(); s.at = s.at.Add(d) }

// Logged returns what has been logged.
func (s *Stage) Logged() string { return s.logged.String() }

// Link makes a sign-in link and returns its token.
func (s *Stage) Link(name string, owner ...string) string {
	s.Helper()
	link, _, err := people.UserStore{Vault: s.Vault, Now: s.Now}.NewLink(s.Context(), people.LinkOptions{Name: name, Owner: owner, URL: s.URL})
	if err != nil {
		s.Fatal(err)
	}
	return strings.TrimPrefix(link.Reveal(), s.URL+"/enter/")
}

// Entered returns a browser that has signed in by a link.
func (s *Stage) Entered(name string, owner ...string) *Browser {
	s.Helper()
	b := s.Browser()
	b.Do("/enter", url.Values{"token": {s.Link(name, owner...)}}).Wants(s.T, http.StatusSeeOther)
	return b
}

// logged is a log that can be read while it is written.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Browser is a browser that does not follow redirects.
type Browser struct {
	*Stage
	Cookies map[string]string
	Header  http.Header // in addition to the usual; an empty value removes one
}

// Browser returns a browser without cookies.
func (s *Stage) Browser() *Browser {
	return &Browser{Stage: s, Cookies: map[string]string{}, Header: http.Header{}}
}

// Reply is an answer that has been read.
type Reply struct {
	*http.Response
	Text string
}

// Do makes a request. A form makes it a POST, from a page of the console's.
func (b *Browser) Do(path string, form url.Values) Reply {
	b.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(b.Context(), method, b.URL+path, body)
	if err != nil {
		b.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Origin", b.URL)
	}
	for name, values := range b.Header {
		r.Header.Del(name)
		if name == "Host" {
			r.Host = values[0]
		} else if len(values) > 1 || values[0] != "" {
			r.Header[name] = values
		}
	}
	for name, value := range b.Cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	resp, err := b.wire.RoundTrip(r)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range resp.Cookies() {
		b.Cookies[c.Name] = c.Value
		if c.MaxAge < 0 {
			delete(b.Cookies, c.Name)
		}
	}
	b.check(path, resp, string(content))
	return Reply{resp, string(content)}
}

// check checks what every answer has in common.
func (b *Browser) check(path string, resp *http.Response, body string) {
	b.Helper()
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'", "X-Content-Type-Options": "nosniff",
		"Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
	} {
		if got := resp.Header.Get(name); !strings.HasPrefix(got, want) {
			b.Errorf("%s: the header %s is %q", path, name, got)
		}
	}
	if cache := resp.Header.Get("Cache-Control"); cache != "no-store" && !strings.HasPrefix(path, "/static/") {
		b.Errorf("%s: it may be cached: %q", path, cache)
	}
	for _, canary := range []string{AccessToken, RefreshToken, ClientSecret} {
		if strings.Contains(body, canary) || strings.Contains(resp.Header.Get("Location"), canary) {
			b.Errorf("%s: it says %s", path, canary)
		}
	}
}

// Wants checks an answer: its status, and texts in its body or its redirect.
func (r Reply) Wants(t *testing.T, status int, texts ...string) Reply {
	t.Helper()
	if r.StatusCode != status {
		t.Errorf("%s %s: status %d, not %d: %.300s", r.Request.Method, r.Request.URL.Path, r.StatusCode, status, r.Text)
	}
	for _, text := range texts {
		if !strings.Contains(r.Text, text) && !strings.Contains(r.Header.Get("Location"), text) {
			t.Errorf("%s %s: it does not say %q: %.2000s", r.Request.Method, r.Request.URL.Path, text, r.Text)
		}
	}
	return r
}
