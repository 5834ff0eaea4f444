package web

import (
	"context"
	"fmt"
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

	"authferry/check"
	"authferry/demo"
	"authferry/proxy"
	"authferry/tokens"
)

const (
	owner     = "owner@gmail.com"
	stranger  = "stranger@gmail.com"
	colleague = "colleague@example.com"
)

// ferry is a console in front of a simulated Gmail.
type ferry struct {
	t       *testing.T
	gmail   *demo.Provider
	vault   *tokens.Vault
	console *Console
	server  *httptest.Server
	log     *observer.ObservedLogs
	late    atomic.Int64 // how far the console's clock is ahead
	check   func(context.Context, string, func(check.Step))
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
	seal, err := tokens.LoadSeal("", dir)
	if err != nil {
		t.Fatal(err)
	}
	store, err := tokens.OpenFileStore(dir, seal)
	if err != nil {
		t.Fatal(err)
	}
	provider := simulated(f.gmail)
	f.vault = tokens.NewVault(store, tokens.Settings{Providers: map[string]*tokens.Provider{"gmail": provider}}, nil)
	t.Cleanup(func() { f.vault.Close(context.Background()) })
	core, logs := observer.New(zap.DebugLevel)
	f.log = logs
	f.server = httptest.NewUnstartedServer(nil)
	at := "http://" + f.server.Listener.Addr().String()
	f.console = NewConsole(Backing{
		Version: "test", Log: zap.New(core), Vault: f.vault,
		Providers: func() []*tokens.Provider { return []*tokens.Provider{provider} },
		Access:    func() Access { return Access{URL: at} },
		Servers: func() []MailServer {
			return []MailServer{{"imap", "mail.example.org", 993, "SSL/TLS"}, {"smtp", "mail.example.org", 465, "SSL/TLS"}}
		},
		Settings: func() (string, []Setting) { return "config.toml", nil },
		Sessions: func() []proxy.SessionInfo { return nil },
		Kick:     func(func(proxy.SessionInfo) bool) int { return 0 },
		Sweep:    func() {},
		Check:    func(ctx context.Context, mailbox string, report func(check.Step)) { f.check(ctx, mailbox, report) },
	})
	f.console.now = func() time.Time { return time.Now().Add(time.Duration(f.late.Load())) }
	f.server.Config.Handler = f.console
	f.server.Start()
	t.Cleanup(func() { f.server.Close(); f.console.Close() })
	return f
}

// simulated is the provider that a simulation is.
func simulated(g *demo.Provider) *tokens.Provider {
	p := tokens.Builtin()["gmail"]
	p.AuthURL, p.TokenURL, p.DeviceURL, p.UserInfoURL, p.RevokeURL = g.AuthURL, g.TokenURL, g.DeviceURL, g.UserInfoURL, g.RevokeURL
	p.ClientID, p.ClientSecret, p.RootCAs = g.ClientID, tokens.Secret(g.ClientSecret), g.CAs
	at := func(address string) tokens.Endpoint {
		host, port, _ := net.SplitHostPort(address)
		n, _ := strconv.Atoi(port)
		return tokens.Endpoint{Host: host, Port: n}
	}
	p.IMAP, p.POP3, p.SMTP = at(g.IMAP), at(g.POP3), at(g.SMTP)
	return p
}

// caller is somebody's.
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

// administrator is the browser of somebody who is signed in.
func (f *ferry) administrator() *caller { return f.signedIn(SignIn{Name: "Ada"}) }

func (f *ferry) signedIn(as SignIn) *caller {
	f.t.Helper()
	as.Access = Access{URL: f.server.URL}
	link, _, err := NewLink(f.t.Context(), f.vault, as)
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

// consentPage is where the page of an errand sends the browser.
func (b *caller) consentPage() string {
	b.t.Helper()
	_, page, ok := strings.Cut(b.header.Get("Refresh"), "url=")
	if !ok {
		b.t.Fatalf("%s sends the browser nowhere:\n%s", b.path, b.body)
	}
	return page
}

// consents allows the access as somebody, and comes back.
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

func (f *ferry) letsIn(mailbox, password, protocol string) error {
	_, err := f.vault.Authorize(f.t.Context(), tokens.Login{
		User: mailbox, Password: tokens.Secret(password), Protocol: protocol, From: netip.MustParseAddr("192.0.2.1"),
	})
	return err
}

// TestConnectByAnAdministrator is the way of somebody who is signed in, and the
// way back to a mailbox whose grant has died: its passwords stay.
func TestConnectByAnAdministrator(t *testing.T) {
	f := newFerry(t)
	b := f.administrator()
	b.get("/connect")
	b.want(http.StatusOK, "Sign in with Google")
	for range 2 {
		b.post("/connect", "mailbox", "Owner@Gmail.com", "provider", "gmail", "way", "page")
		b.want(http.StatusOK, "You are on your way")
		b.consents(owner)
		b.want(http.StatusOK, owner+" is connected")
		if strings.Contains(b.path, "callback") {
			t.Errorf("the code stays in the address: %s", b.path)
		}
		if _, err := f.vault.AddPassword(t.Context(), owner, tokens.PasswordSpec{Name: fmt.Sprint(time.Now())}); err != nil {
			t.Fatal(err)
		}
	}
	a, err := f.vault.Account(t.Context(), owner)
	if err != nil || a.Provider != "gmail" || len(a.Passwords) != 2 {
		t.Errorf("%v with %d passwords, %v", a, len(a.Passwords), err)
	}
}

// TestConnectRefuses: what is wrong is said, and nothing is kept.
func TestConnectRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		fault func(*ferry)
		as    string
		says  string
	}{
		"the wrong person":        {nil, stranger, "You signed in as " + stranger + ", but this is for " + owner},
		"a box left unticked":     {func(f *ferry) { f.gmail.Faults.GrantScopes("openid email") }, owner, "The box for mail was not ticked"},
		"a token endpoint down":   {func(f *ferry) { f.gmail.Faults.Token(demo.Token500) }, owner, "could not be tried out just now"},
		"a client that is gone":   {func(f *ferry) { f.gmail.Faults.Token(demo.TokenInvalidCli) }, owner, "did not accept the answer"},
		"a protocol switched off": {func(f *ferry) { f.gmail.Faults.Mail("imap", demo.MailDisabled) }, owner, "over IMAP"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFerry(t)
			b := f.administrator()
			b.post("/connect", "mailbox", owner, "provider", "gmail")
			if test.fault != nil {
				test.fault(f)
			}
			b.consents(test.as)
			b.want(http.StatusOK, test.says)
			b.want(http.StatusOK, "Nothing was changed")
			if _, err := f.vault.Account(t.Context(), owner); err == nil {
				t.Error("connected")
			}
		})
	}
}

// TestDenied: who does not allow the access can think again.
func TestDenied(t *testing.T) {
	f := newFerry(t)
	b := f.administrator()
	b.post("/connect", "mailbox", owner, "provider", "gmail")
	back, err := f.gmail.Deny(b.consentPage(), owner)
	if err != nil {
		t.Fatal(err)
	}
	b.get(back)
	b.want(http.StatusOK, "was not allowed")
	b.post("/connect", "mailbox", owner, "provider", "gmail")
	b.consents(owner)
	b.want(http.StatusOK, "is connected")
}

// TestErrandBelongsToItsBrowser: what one browser has begun no other can end,
// look at, or end twice.
func TestErrandBelongsToItsBrowser(t *testing.T) {
	f := newFerry(t)
	b := f.administrator()
	b.post("/connect", "mailbox", owner, "provider", "gmail")
	errand := b.path
	back, err := f.gmail.Consent(b.consentPage(), owner)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []*caller{f.browser(), f.administrator()} {
		other.get(back)
		other.want(http.StatusBadRequest, "begun in another browser")
		other.get(errand)
		other.want(http.StatusNotFound, "begun in another browser")
	}
	if f.gmail.TokenCalls("authorization_code") != 0 {
		t.Error("the code was used")
	}
	for range 2 {
		b.get(back)
		b.want(http.StatusOK, "is connected")
	}
	if n := f.gmail.TokenCalls("authorization_code"); n != 1 {
		t.Errorf("the code was used %d times", n)
	}
	f.late.Store(int64(errandLife + outcomeLife))
	b.get(errand)
	b.want(http.StatusNotFound, "")
}

// TestPaste: where the provider cannot come back, a person brings the address.
func TestPaste(t *testing.T) {
	f := newFerry(t)
	b := f.administrator()
	b.post("/connect", "mailbox", owner, "provider", "gmail", "way", "paste")
	b.want(http.StatusOK, "Paste the address here")
	errand, page := b.path, b.find(`href="(http[^"]*client_id=[^"]*)"`)
	for _, wrong := range []string{"", "no address", "http://127.0.0.1:47653/?state=another&code=4/abc"} {
		b.post(errand+"/paste", "address", wrong)
		b.want(http.StatusUnprocessableEntity, "That is not the address")
	}
	back, err := f.gmail.Consent(page, owner)
	if err != nil {
		t.Fatal(err)
	}
	b.post(errand+"/paste", "address", " \""+back+"\"\n")
	b.want(http.StatusOK, "is connected")
}

func TestDeviceCode(t *testing.T) {
	f := newFerry(t)
	b := f.administrator()
	b.post("/connect", "mailbox", owner, "provider", "gmail", "way", "code")
	b.want(http.StatusOK, "data-follow")
	code := b.find(`<code>([A-Z]{4}-[A-Z]{4})</code>`)
	if err := f.gmail.ConfirmDevice(code, owner); err != nil {
		t.Fatal(err)
	}
	f.ended(b)
	b.want(http.StatusOK, "is connected")
}

// ended waits until the errand of a page has come to its end, and shows it.
func (f *ferry) ended(b *caller) {
	f.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		b.get(b.path)
		if !strings.Contains(b.body, "data-follow") {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatal("it does not come to its end")
		}
	}
}

// TestUntried: where the mailbox cannot be reached, an administrator's grant is
// kept all the same, as the command line does; who holds a link proves theirs.
func TestUntried(t *testing.T) {
	f := newFerry(t)
	b := f.administrator()
	link := b.invitation(owner)
	f.gmail.Faults.Mail("imap", demo.MailTemporary)
	guest := f.browser()
	guest.get(link)
	guest.post("/invitation")
	guest.consents(owner)
	guest.want(http.StatusOK, "could not be tried out just now")
	if _, err := f.vault.Account(t.Context(), owner); err == nil {
		t.Fatal("a guest's grant is kept untried")
	}
	b.post("/connect", "mailbox", owner, "provider", "gmail")
	b.consents(owner)
	b.want(http.StatusOK, "could not be tried out now")
	if _, err := f.vault.Account(t.Context(), owner); err != nil {
		t.Error(err)
	}
}

// TestOwnersConnectTheirOwn: an owner renews the grant of their mailbox, and
// those of others are not there for them.
func TestOwnersConnectTheirOwn(t *testing.T) {
	f := newFerry(t)
	b := f.signedIn(SignIn{Owner: []string{owner}})
	b.post("/connect", "mailbox", stranger, "provider", "gmail")
	b.want(http.StatusNotFound, "or it is not yours")
	b.get("/mailboxes/" + stranger + "/connect")
	b.want(http.StatusNotFound, "")
	b.get("/invitations")
	b.want(http.StatusForbidden, "")
	b.post("/invitations", "for", stranger)
	b.want(http.StatusForbidden, "")
	b.post("/connect", "mailbox", owner, "provider", "gmail")
	b.consents(owner)
	b.want(http.StatusOK, "is connected")
	f.browser().wantsSession("/connect", "/invitations", "/invitations/x/revoke", "/mailboxes/"+owner+"/test", "/mailboxes/"+owner+"/test/cancel")
}

// wantsSession has it that nobody posts there without a session.
func (b *caller) wantsSession(paths ...string) {
	b.t.Helper()
	for _, path := range paths {
		b.post(path, "mailbox", owner, "provider", "gmail")
		b.want(http.StatusForbidden, "not signed in")
	}
}

func TestRedirectTo(t *testing.T) {
	google, microsoft := tokens.Builtin()["gmail"], tokens.Builtin()["microsoft"]
	desktop := *google
	desktop.LoopbackOnly = true
	for _, test := range []struct {
		console string
		p       *tokens.Provider
		way     way
		want    string
		paste   bool
	}{
		{"http://127.0.0.1:8025", google, byPage, "http://127.0.0.1:8025", false},
		{"http://127.0.0.1:8025", &desktop, byPage, "http://127.0.0.1:8025", false},
		{"http://127.0.0.1:8025", microsoft, byPage, "http://localhost:8025", false},
		{"http://127.0.0.1:8025", google, byPaste, "http://127.0.0.1:47653", true},
		{"https://mail.example.org", google, byPage, "https://mail.example.org/connect/callback", false},
		{"https://mail.example.org", microsoft, byPage, "https://mail.example.org/connect/callback", false},
		{"https://mail.example.org", &desktop, byPage, "http://127.0.0.1:47653", true},
		{"https://127.0.0.1:8443", google, byPage, "https://127.0.0.1:8443/connect/callback", false},
	} {
		got, paste := redirectTo(Access{URL: test.console}, test.p, test.way)
		if got != test.want || paste != test.paste {
			t.Errorf("%s, %s, %s: %s %v, want %s %v", test.console, test.p.Name, test.way, got, paste, test.want, test.paste)
		}
	}
}

// TestBackAtAnotherName: Microsoft sends browsers to localhost, where the
// cookies of 127.0.0.1 are not.
func TestBackAtAnotherName(t *testing.T) {
	f := newFerry(t)
	r := httptest.NewRequest(http.MethodGet, "http://localhost:8025/?state=abc&code=4/x", nil)
	w := httptest.NewRecorder()
	f.console.ServeHTTP(w, r)
	if at := w.Header().Get("Location"); w.Code != http.StatusSeeOther || at != f.server.URL+"/connect/callback?state=abc&code=4/x" {
		t.Errorf("%d to %q", w.Code, at)
	}
}
