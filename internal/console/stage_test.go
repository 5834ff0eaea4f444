package console

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"authferry/internal/config/document"
	"authferry/internal/mailsettings"
	"authferry/proxy"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// What must be seen nowhere.
const (
	accessCanary  = "ya29.canary-of-an-access-token"
	refreshCanary = "1//canary-of-a-refresh-token"
	secretCanary  = "canary-of-a-client-secret"
)

const mine, theirs = "me@example.org", "them@example.org"

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

// stage is a console with two mailboxes and a clock of its own.
type stage struct {
	*testing.T
	*Console
	server *httptest.Server
	wire   *http.Transport
	log    *logged

	mu       sync.Mutex
	at       time.Time
	access   Access
	sessions []proxy.SessionInfo
	kicked   []int64
	swept    int
}

// staged are where mail programs come in.
var staged = []mailsettings.MailService{
	{Protocol: "imap", Host: "mail.example.org", Port: 993, Security: proxy.Implicit},
	{Protocol: "smtp", Host: "mail.example.org", Port: 465, Security: proxy.Implicit},
}

func newStage(t *testing.T) *stage {
	t.Helper()
	dir := t.TempDir()
	seal, err := store.LoadSeal("", dir)
	if err != nil {
		t.Fatal(err)
	}
	store, err := store.OpenFiles(dir, seal)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{T: t, log: &logged{}, at: time.Now()}
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(s.log), zap.DebugLevel))
	provider := &oauth.Provider{Name: "gmail", ClientID: "id", ClientSecret: secretCanary}
	vault := tokens.NewVault(store, tokens.Settings{Providers: map[string]*oauth.Provider{"gmail": provider}}, log)
	t.Cleanup(func() { vault.Close(context.Background()) })
	for _, mailbox := range []string{mine, theirs} {
		grant := &oauth.Token{Access: accessCanary, Refresh: refreshCanary, Minted: s.at, Expiry: s.at.Add(time.Hour)}
		if err := vault.Connect(t.Context(), tokens.Connection{Mailbox: mailbox, Provider: "gmail", Token: grant}); err != nil {
			t.Fatal(err)
		}
		if _, err := vault.AddPassword(t.Context(), mailbox, tokens.PasswordSpec{Name: "CRM"}); err != nil {
			t.Fatal(err)
		}
		s.sessions = append(s.sessions, proxy.SessionInfo{
			ID: int64(len(s.sessions) + 1), Protocol: "imap", Client: netip.MustParseAddrPort("192.0.2.1:999"),
			Mailbox: mailbox, Password: "CRM", Since: s.at.Add(-time.Hour), Moved: s.at,
		})
	}
	s.Console = NewConsole(Backing{
		Version: "v1", Log: log, Vault: vault,
		Providers: func() []*oauth.Provider { return []*oauth.Provider{provider} },
		Access:    func() Access { return s.access },
		Servers: func() []MailServer {
			return []MailServer{{"imap", "mail.example.org", 993, "SSL/TLS"}, {"smtp", "mail.example.org", 465, "SSL/TLS"}}
		},
		Cards: func(mailbox, language string) []mailsettings.Card {
			return mailsettings.Cards(mailsettings.CardMailbox{Address: mailbox}, staged, language)
		},
		MailSettings: stagedSettings(),
		Settings: func() (string, []document.Setting) {
			return "/etc/authferry/config.toml", []document.Setting{{Key: "store", Value: `"file:/s"`}, {Key: "provider.gmail.client_id", Value: `"id"`, Line: 7}, {Key: "log.level", Value: `"info"`, Variable: "AUTHFERRY_LOG_LEVEL"}}
		},
		Sessions: func() []proxy.SessionInfo { return slices.Clone(s.sessions) },
		Kick: func(match func(proxy.SessionInfo) bool) (n int) {
			for _, x := range s.sessions {
				if match(x) {
					s.kicked = append(s.kicked, x.ID)
					n++
				}
			}
			return n
		},
		Sweep: func() { s.swept++ },
		Logins: func(q LoginQuery) ([]LoginAttempt, error) {
			var list []LoginAttempt
			for _, m := range []string{mine, theirs} {
				if len(q.Mailboxes) == 0 || slices.Contains(q.Mailboxes, m) {
					list = append(list, LoginAttempt{At: s.at, Protocol: "imap", From: "192.0.2.1", Mailbox: m, Password: "CRM", OK: true, Result: "ok", Times: 1},
						LoginAttempt{At: s.at, Protocol: "smtp", From: "192.0.2.1", User: m, Mailbox: m, Result: "bad login", Cause: "wrong <password>", Times: 3})
				}
			}
			return list, nil
		},
	})
	s.now = func() time.Time { s.mu.Lock(); defer s.mu.Unlock(); return s.at }
	s.server = httptest.NewServer(s.Console)
	s.wire = &http.Transport{}
	t.Cleanup(s.server.Close)
	t.Cleanup(s.wire.CloseIdleConnections)
	s.access.URL = s.server.URL
	return s
}

func (s *stage) pass(d time.Duration) { s.mu.Lock(); defer s.mu.Unlock(); s.at = s.at.Add(d) }

// browser is a browser that does not follow redirects.
type browser struct {
	*stage
	cookies map[string]string
	header  http.Header // beside the usual
}

func (s *stage) browser() *browser {
	return &browser{stage: s, cookies: map[string]string{}, header: http.Header{}}
}

// reply is an answer that has been read.
type reply struct {
	*http.Response
	body string
}

// do makes a request. A form makes it a POST, from a page of the console's.
func (b *browser) do(path string, form url.Values) reply {
	b.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(b.Context(), method, b.server.URL+path, body)
	if err != nil {
		b.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Origin", b.server.URL)
	}
	for name, values := range b.header {
		r.Header.Del(name)
		if name == "Host" {
			r.Host = values[0]
		} else if len(values) > 1 || values[0] != "" {
			r.Header[name] = values
		}
	}
	for name, value := range b.cookies {
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
		b.cookies[c.Name] = c.Value
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	b.sane(path, resp, string(content))
	return reply{resp, string(content)}
}

// sane holds every answer to what all have in common.
func (b *browser) sane(path string, resp *http.Response, body string) {
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
	for _, canary := range []string{accessCanary, refreshCanary, secretCanary} {
		if strings.Contains(body, canary) || strings.Contains(resp.Header.Get("Location"), canary) {
			b.Errorf("%s: it says %s", path, canary)
		}
	}
}

func (r reply) wants(t *testing.T, status int, texts ...string) reply {
	t.Helper()
	if r.StatusCode != status {
		t.Errorf("%s %s: status %d, not %d: %.300s", r.Request.Method, r.Request.URL.Path, r.StatusCode, status, r.body)
	}
	for _, text := range texts {
		if !strings.Contains(r.body, text) && !strings.Contains(r.Header.Get("Location"), text) {
			t.Errorf("%s %s: it does not say %q: %.2000s", r.Request.Method, r.Request.URL.Path, text, r.body)
		}
	}
	return r
}

// link makes a link and returns its end.
func (s *stage) link(name string, owner ...string) string {
	s.Helper()
	link, _, err := newLink(s.Context(), s.Vault, s.now(), SignIn{Name: name, Owner: owner, Access: s.access})
	if err != nil {
		s.Fatal(err)
	}
	return strings.TrimPrefix(link.Reveal(), s.access.URL+"/enter/")
}

// entered is a browser in which a link has been used.
func (s *stage) entered(name string, owner ...string) *browser {
	s.Helper()
	b := s.browser()
	b.do("/enter", url.Values{"token": {s.link(name, owner...)}}).wants(s.T, http.StatusSeeOther)
	return b
}

// madeSecret finds a password that a page shows.
var madeSecret = regexp.MustCompile(`<code>([a-z]{4}(?: [a-z]{4}){3})</code>`)

// stagedSettings answers mail programs of example.com.
func stagedSettings() *mailsettings.MailSettings {
	return &mailsettings.MailSettings{
		Services: func() []mailsettings.MailService { return staged },
		Domains:  func(context.Context) (map[string]bool, error) { return map[string]bool{"example.com": true}, nil },
		Log:      zap.NewNop(),
	}
}
