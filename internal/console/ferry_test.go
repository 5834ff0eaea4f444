package console

import (
	"context"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"authferry/demo"
	"authferry/internal/check"
	"authferry/internal/config/document"
	"authferry/internal/console/people"
	"authferry/internal/protocol"
	"authferry/internal/secret"
	"authferry/proxy"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

const (
	owner     = "owner@gmail.com"
	stranger  = "stranger@gmail.com"
	colleague = "colleague@example.com"
)

// ferry is a console in front of a simulated Gmail.
type ferry struct {
	t         *testing.T
	gmail     *demo.Provider
	vault     *tokens.Vault
	providers []*oauth.Provider // that are configured
	console   *Console
	server    *httptest.Server
	log       *observer.ObservedLogs
	late      atomic.Int64 // how far the console's clock is ahead
	check     func(context.Context, string, func(check.Step))
}

func newFerry(t *testing.T) *ferry {
	t.Helper()
	f := &ferry{t: t}
	var err error
	f.gmail, err = demo.Start(demo.Options{Mailboxes: []string{owner, stranger, colleague}, DeviceInterval: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.gmail.Close() })
	dir := t.TempDir()
	seal, err := store.LoadSeal("", dir)
	if err != nil {
		t.Fatal(err)
	}
	store, err := store.OpenFiles(dir, seal)
	if err != nil {
		t.Fatal(err)
	}
	provider := simulated(f.gmail)
	f.providers = []*oauth.Provider{provider}
	f.vault = tokens.NewVault(store, tokens.Settings{Providers: map[string]*oauth.Provider{"gmail": provider}}, nil)
	t.Cleanup(func() { f.vault.Close(context.Background()) })
	core, logs := observer.New(zap.DebugLevel)
	f.log = logs
	f.server = httptest.NewUnstartedServer(nil)
	at := "http://" + f.server.Listener.Addr().String()
	f.console = New(Deps{
		Version: "test", Now: func() time.Time { return time.Now().Add(time.Duration(f.late.Load())) }, Log: zap.New(core), Vault: f.vault,
		Providers: func() []*oauth.Provider { return f.providers },
		Access:    func() Access { return Access{URL: at} },
		Servers:   servers,
		Settings:  func() (string, []document.Setting) { return "config.toml", nil },
		Sessions:  func() []proxy.SessionInfo { return nil },
		Kick:      func(func(proxy.SessionInfo) bool) int { return 0 },
		Sweep:     func() {},
		Check:     func(ctx context.Context, mailbox string, report func(check.Step)) { f.check(ctx, mailbox, report) },
	})
	f.server.Config.Handler = f.console
	f.server.Start()
	t.Cleanup(func() { f.server.Close(); f.console.Close() })
	return f
}

// simulated is the provider that a simulation is.
func simulated(g *demo.Provider) *oauth.Provider {
	p := oauth.Builtin()["gmail"]
	p.AuthURL, p.TokenURL, p.DeviceURL, p.UserInfoURL, p.RevokeURL = g.AuthURL, g.TokenURL, g.DeviceURL, g.UserInfoURL, g.RevokeURL
	p.ClientID, p.ClientSecret, p.RootCAs = g.ClientID, secret.String(g.ClientSecret), g.CAs
	at := func(address string) oauth.Endpoint {
		host, port, _ := net.SplitHostPort(address)
		n, _ := strconv.Atoi(port)
		return oauth.Endpoint{Host: host, Port: n}
	}
	p.IMAP, p.POP3, p.SMTP = at(g.IMAP), at(g.POP3), at(g.SMTP)
	return p
}

// caller is a person's browser, which follows redirects.
type caller struct {
	*ferry
	client *http.Client
	status int
	header http.Header
	body   string
	path   string // of the last page
}

func (f *ferry) browser() *caller {
	jar, err := cookiejar.New(nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return &caller{ferry: f, client: &http.Client{Jar: jar}}
}

// administrator returns the browser of an administrator.
func (f *ferry) administrator() *caller { return f.signedIn(people.LinkOptions{Name: "Ada"}) }

func (f *ferry) signedIn(as people.LinkOptions) *caller {
	f.t.Helper()
	as.URL = f.server.URL
	link, _, err := people.NewLink(f.t.Context(), f.vault, as)
	if err != nil {
		f.t.Fatal(err)
	}
	b := f.browser()
	b.post("/enter", "token", link.Reveal()[strings.LastIndex(link.Reveal(), "/")+1:])
	b.want(http.StatusOK, "")
	return b
}

// do follows redirects within the console only.
func (b *caller) do(r *http.Request) {
	b.t.Helper()
	answer, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.status, b.header, b.body, b.path = answer.StatusCode, answer.Header, html.UnescapeString(string(body)), answer.Request.URL.Path
	if policy := b.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") {
		b.t.Errorf("%s without a policy: %q", b.path, policy)
	}
	if r := b.header.Get("Referrer-Policy"); r != "no-referrer" {
		b.t.Errorf("%s: Referrer-Policy %q", b.path, r)
	}
	if strings.Contains(b.body, "ya29.") || strings.Contains(b.body, b.gmail.ClientSecret) {
		b.t.Errorf("%s shows a token or the client's secret", b.path)
	}
}

func (b *caller) get(address string) {
	b.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = b.server.URL + address
	}
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.do(r)
}

func (b *caller) post(path string, form ...string) {
	b.t.Helper()
	values := url.Values{}
	for i := 0; i+1 < len(form); i += 2 {
		values.Add(form[i], form[i+1])
	}
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.server.URL+path, strings.NewReader(values.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	b.do(r)
}

func (b *caller) want(status int, text string) {
	b.t.Helper()
	if b.status != status || !strings.Contains(b.body, text) {
		b.t.Fatalf("%s answers %d, want %d and %q:\n%s", b.path, b.status, status, text, b.body)
	}
}

func (b *caller) find(pattern string) string {
	b.t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(b.body)
	if m == nil {
		b.t.Fatalf("%s has no %s:\n%s", b.path, pattern, b.body)
	}
	return m[1]
}

// consentPage returns where the page of a sign-in sends the browser.
func (b *caller) consentPage() string {
	b.t.Helper()
	_, page, ok := strings.Cut(b.header.Get("Refresh"), "url=")
	if !ok {
		b.t.Fatalf("%s sends the browser nowhere:\n%s", b.path, b.body)
	}
	return page
}

// consents allows access with an account, and comes back.
func (b *caller) consents(as string) {
	b.t.Helper()
	back, err := b.gmail.Consent(b.consentPage(), as)
	if err != nil {
		b.t.Fatal(err)
	}
	b.get(back)
}

const passwordPattern = `<code>([a-z]{4}( [a-z]{4}){3})</code>`

// invitation makes one, and returns its link.
func (b *caller) invitation(whom string, more ...string) string {
	b.t.Helper()
	form := []string{"for", whom, "provider", "gmail", "hours", "72", "password", "yes", "name", "Livespace CRM"}
	if len(more) == 0 {
		more = []string{"protocols", "imap", "protocols", "smtp"}
	}
	b.post("/invitations", append(form, more...)...)
	b.want(http.StatusOK, "/invitation/")
	return b.find(`<code>(http[^<]*/invitation/[^<]*)</code>`)
}

func (f *ferry) letsIn(mailbox, password string, protocol protocol.Protocol) error {
	_, err := f.vault.Authorize(f.t.Context(), tokens.Login{
		User: mailbox, Password: secret.String(password), Protocol: protocol, From: netip.MustParseAddr("192.0.2.1"),
	})
	return err
}
