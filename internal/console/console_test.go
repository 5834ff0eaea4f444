package console

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/zap"

	"authferry/internal/console/consoletest"
	"authferry/internal/console/frame"
	"authferry/internal/console/people"
	"authferry/internal/mailsettings"
	"authferry/internal/secret"
	"authferry/proxy"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// state returns everything that a POST can change.
func (s *stage) state() string {
	s.Helper()
	register, err := s.Vault.Document(s.Context(), people.UsersDocument)
	if err != nil {
		s.Fatal(err)
	}
	state := string(register)
	mailboxes, err := s.Vault.Mailboxes(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	for _, m := range mailboxes {
		a, err := s.Vault.Account(s.Context(), m)
		if err != nil {
			s.Fatal(err)
		}
		for _, p := range a.Passwords {
			state += "\n" + m + " " + p.ID
		}
	}
	kicked, _ := json.Marshal(s.kicked)
	return state + string(kicked)
}

// form changes something on every page that it is sent to.
func (s *stage) form() url.Values {
	return url.Values{
		"name": {"CRM"}, "protocol": {"imap"}, "id": {"2"}, "mailbox": {theirs}, "language": {"pl"},
		"new": {"a password of my own"}, "token": {s.Link("mallory")}, "password": {"x"},
	}
}

// TestChangesAreRefused: no page that changes something can be reached from
// another site, without a session, or by the owner of another mailbox.
func TestChangesAreRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	admin, owner := s.Entered("admin"), s.Entered("", mine)
	open := map[string]bool{"/signin": true, "/enter": true, "/language": true}
	mustBeOwn := map[string]bool{"/account/password": true, "/account/sessions/end": true, "/signout": true}
	posts := 0
	for _, pattern := range s.console.frame.Patterns() {
		path, isPost := strings.CutPrefix(pattern, "POST ")
		if !isPost {
			continue
		}
		posts++
		path = strings.ReplaceAll(path, "{mailbox}", url.PathEscape(theirs))
		if strings.Contains(path, "{") {
			continue // of a part that has tests of its own
		}
		refused := func(who string, b *consoletest.Browser, header http.Header) {
			t.Helper()
			form := s.form()
			before := s.state()
			b.Header = header
			if r := b.Do(path, form); r.StatusCode != http.StatusForbidden && r.StatusCode != http.StatusNotFound && r.Header.Get("Location") != "/?done=session-gone" {
				t.Errorf("%s: %s got %s", path, who, r.Status)
			}
			b.Header = http.Header{}
			if s.state() != before {
				t.Errorf("%s: %s changed something", path, who)
			}
		}
		refused("another site", admin, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}})
		refused("a sibling site", admin, http.Header{"Sec-Fetch-Site": {"same-site"}})
		refused("an older browser on another site", admin, http.Header{"Sec-Fetch-Site": {""}, "Origin": {"https://evil.example"}})
		refused("a page without an origin", admin, http.Header{"Sec-Fetch-Site": {""}, "Origin": {"null"}})
		if !open[path] {
			refused("nobody", s.Browser(), http.Header{})
			forged := s.Browser()
			forged.Cookies["authferry"] = people.NewToken().Reveal()
			refused("a forged session", forged, http.Header{})
		}
		if !open[path] && !mustBeOwn[path] {
			refused("the owner of another mailbox", owner, http.Header{})
		}
	}
	if posts < 10 {
		t.Errorf("only %d pages that change something", posts)
	}
	// The same, for comparison, where nothing is wrong with it.
	admin.Do(frame.MailboxPath(theirs)+"/passwords/revoke", url.Values{"name": {"CRM"}}).Wants(t, http.StatusSeeOther, "done=revoked")
	if s.swept != 1 {
		t.Errorf("%d sweeps", s.swept)
	}
}

// TestOwner: an owner sees their own mailbox; for them there is no other.
func TestOwner(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	b := s.Entered("", mine)
	for _, path := range []string{"/", frame.MailboxPath(mine), "/logins", "/logins?mailbox=" + theirs, "/account"} {
		if r := b.Do(path, nil).Wants(t, http.StatusOK, mine); strings.Contains(r.Text, theirs) {
			t.Errorf("%s shows another's mailbox", path)
		}
	}
	for _, path := range []string{frame.MailboxPath(theirs), frame.MailboxPath(theirs, "remove"), frame.MailboxPath("nobody@example.org")} {
		b.Do(path, nil).Wants(t, http.StatusNotFound)
	}
	for _, path := range []string{"/people", "/configuration"} {
		b.Do(path, nil).Wants(t, http.StatusForbidden)
	}
	b.Do("/sessions/end", url.Values{"id": {"1"}}).Wants(t, http.StatusSeeOther, "session-ended")
	if len(s.kicked) != 1 || s.kicked[0] != 1 {
		t.Errorf("ended: %v", s.kicked)
	}
}

// TestPassword: only the answer that creates a password shows it.
func TestPassword(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	b := s.Entered("", mine)
	add := frame.MailboxPath(mine, "passwords")
	all := []string{"imap", "pop3", "smtp"}
	for _, form := range []url.Values{
		{"name": {""}, "protocol": all}, {"name": {"crm"}, "protocol": all}, {"name": {"A"}},
		{"name": {"A"}, "protocol": all, "networks": {"192.0.2.1/24"}}, {"name": {"A"}, "protocol": all, "expires": {"2001-01-01"}},
		{"name": {"A"}, "protocol": all, "messages": {"many"}}, {"name": {"A"}, "protocol": all, "length": {"8"}},
		{"name": {"A"}, "protocol": {"smtp"}, "read-only": {"1"}}, {"name": {"A"}, "protocol": {"gopher"}},
		{"name": {strings.Repeat("long", 30)}, "protocol": all},
	} {
		b.Do(add, form).Wants(t, http.StatusUnprocessableEntity, `role="alert"`)
	}
	r := b.Do(add, url.Values{"name": {"Livespace CRM"}, "protocol": {"imap", "smtp"}, "networks": {"192.0.2.0/24, 2001:db8::1"}, "messages": {"50"}}).
		Wants(t, http.StatusOK, "mail.example.org", "993", "465")
	found := madeSecret.FindStringSubmatch(r.Text)
	if found == nil || strings.Count(r.Text, "<code>"+found[1]+"</code>") != 1 {
		t.Fatalf("no password, or more than one, in %s", r.Text)
	}
	g, err := s.Vault.Authorize(t.Context(), tokens.Login{User: mine, Password: secret.String(found[1]), Protocol: "smtp", From: netip.MustParseAddr("192.0.2.7")})
	if err != nil || g.PasswordName != "Livespace CRM" || g.Password.MessagesPerHour != 50 {
		t.Errorf("the password is not what was asked for: %v", err)
	}
	for _, path := range []string{"/", frame.MailboxPath(mine), "/logins", "/account"} {
		body := b.Do(path, nil).Wants(t, http.StatusOK).Text
		for _, form := range []string{found[1], strings.ReplaceAll(found[1], " ", "")} {
			if strings.Contains(body, form) || strings.Contains(s.Logged(), form) {
				t.Errorf("%s, or the log, has the password", path)
			}
		}
	}
	for range 2 { // pressing twice is no error
		b.Do(add+"/revoke", url.Values{"name": {"Livespace CRM"}}).Wants(t, http.StatusSeeOther, "revoked")
	}
	if _, err := s.Vault.Authorize(t.Context(), tokens.Login{User: mine, Password: secret.String(found[1]), Protocol: "smtp", From: netip.MustParseAddr("192.0.2.7")}); err == nil {
		t.Error("a revoked password lets in")
	}
	if text := s.Logged(); strings.Contains(text, consoletest.AccessToken) || strings.Contains(text, consoletest.RefreshToken) || !strings.Contains(text, "console: password added") {
		t.Error("the log has a token, or nothing")
	}
}

// TestRemove: the removal asks for confirmation, and keeps what the form says.
func TestRemove(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	b := s.Entered("")
	b.Do(frame.MailboxPath(mine, "remove"), nil).Wants(t, http.StatusOK, "keep-passwords")
	b.Do(frame.MailboxPath(mine, "remove"), url.Values{"keep-passwords": {"1"}, "keep-grant": {"1"}}).Wants(t, http.StatusSeeOther, "disconnected")
	b.Do(frame.MailboxPath(mine), nil).Wants(t, http.StatusOK, "Disconnected", "CRM")
	b.Do(frame.MailboxPath(mine, "remove"), url.Values{}).Wants(t, http.StatusSeeOther, "removed")
	b.Do(frame.MailboxPath(mine), nil).Wants(t, http.StatusNotFound)
	// The provider has no revocation endpoint, which the page says.
	b.Do(frame.MailboxPath(theirs, "remove"), url.Values{}).Wants(t, http.StatusOK, theirs, "myaccount.google.com")
	b.Do("/", nil).Wants(t, http.StatusOK, "No mailbox is connected yet")
}

// TestReverseProxy: its header is believed from its own networks only.
func TestReverseProxy(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.access.Header, s.access.Administrators = "X-Forwarded-User", []string{"Anna"}
	b := s.Browser()
	b.Header.Set("X-Forwarded-User", "anna")
	b.Do("/", nil).Wants(t, http.StatusSeeOther, "/signin")
	s.access.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	b.Do("/people", nil).Wants(t, http.StatusOK)
	revoke := func() consoletest.Reply {
		return b.Do(frame.MailboxPath(mine, "passwords", "revoke"), url.Values{"name": {"CRM"}})
	}
	b.Header["Sec-Fetch-Site"], b.Header["Origin"] = []string{""}, []string{""}
	revoke().Wants(t, http.StatusForbidden) // browsers send no session cookie that could be missing
	b.Header["Origin"] = []string{s.URL}
	revoke().Wants(t, http.StatusSeeOther)
	b.Header = http.Header{"X-Forwarded-User": {mine}}
	b.Do("/", nil).Wants(t, http.StatusOK, mine)
	b.Do("/people", nil).Wants(t, http.StatusForbidden)
	b.Do(frame.MailboxPath(theirs), nil).Wants(t, http.StatusNotFound)
	b.Header.Set("X-Forwarded-User", "stranger")
	b.Do("/", nil).Wants(t, http.StatusForbidden)
	s.strangersOnlyKnock(b)
}

// strangersOnlyKnock checks that an unknown name opens only pages for anyone, and
// that neither an alias nor one name of several makes a person an owner.
func (s *stage) strangersOnlyKnock(b *consoletest.Browser) {
	s.Helper()
	b.Do("/signin", nil).Wants(s.T, http.StatusOK)
	b.Do("/language", url.Values{"language": {"de"}, "next": {"/signin"}}).Wants(s.T, http.StatusSeeOther)
	b.Do("/invitation/"+people.NewToken().Reveal(), nil).Wants(s.T, http.StatusNotFound)
	b.Do("/connect/callback?state=abc&code=4/x", nil).Wants(s.T, http.StatusBadRequest)
	b.Do("/enter/"+s.Link("eva"), nil).Wants(s.T, http.StatusOK)
	b.Do(frame.MailboxPath(mine), nil).Wants(s.T, http.StatusForbidden)

	s.Vault.Configure(tokens.Settings{Providers: map[string]*oauth.Provider{"gmail": s.Provider}, Aliases: map[string]string{"stranger": mine, "short@example.org": mine}})
	for _, alias := range []string{"stranger", "short@example.org"} {
		b.Header.Set("X-Forwarded-User", alias)
		b.Do("/", nil).Wants(s.T, http.StatusForbidden)
	}
	b.Header.Set("X-Forwarded-User", " ME@example.org ")
	b.Do("/", nil).Wants(s.T, http.StatusOK, mine)
	session := s.Entered("eva").Cookies
	for _, several := range [][]string{{mine, "stranger"}, {"", mine}, {mine, mine}, {"anna", mine}} {
		c := s.Browser()
		c.Cookies, c.Header["X-Forwarded-User"] = session, several
		c.Do("/", nil).Wants(s.T, http.StatusForbidden, "X-Forwarded-User")
	}
}

// TestSessionsEnd: sessions expire, and end with their user.
func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	admin, idle := s.Entered("admin"), s.Entered("anna")
	s.Pass(people.SessionIdle / 2)
	admin.Do("/", nil).Wants(t, http.StatusOK)
	s.Pass(people.SessionIdle / 2)
	idle.Do("/", nil).Wants(t, http.StatusSeeOther, "/signin")
	admin.Do("/", nil).Wants(t, http.StatusOK)
	gone := s.Entered("", mine)
	gone.Do("/", nil).Wants(t, http.StatusOK)
	admin.Do("/people/remove", url.Values{"name": {"ADMIN"}}).Wants(t, http.StatusForbidden)
	admin.Do("/people/remove", url.Values{"name": {mine}}).Wants(t, http.StatusSeeOther)
	gone.Do("/", nil).Wants(t, http.StatusSeeOther, "/signin")
	for range int(people.SessionLife/people.SessionIdle)*2 + 1 {
		s.Pass(people.SessionIdle / 2)
		admin.Do("/", nil)
	}
	admin.Do("/", nil).Wants(t, http.StatusSeeOther, "/signin") // although it is in use
}

// TestHost: requests for another host name are refused.
func TestHost(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.access.URL, s.access.Names = "https://mail.example.org", []string{"mx.example.org"}
	for host, status := range map[string]int{
		"mail.example.org": 303, "MAIL.example.org:443": 303, "mx.example.org": 303, "127.0.0.1:80": 303, "[::1]": 303, "localhost": 303,
		"evil.example": 421, "127.0.0.1.evil.example": 421, "localhost.evil.example:80": 421,
	} {
		b := s.Browser()
		b.Header["Host"] = []string{host}
		b.Do("/", nil).Wants(t, status)
	}
}

// TestConsoleTellsMailPrograms: mail programs use host names that are not the
// console's, such as autoconfig.example.org, and get nothing but settings there.
func TestConsoleTellsMailPrograms(t *testing.T) {
	c := New(Deps{
		Log:    zap.NewNop(),
		Access: func() Access { return Access{URL: "https://mail.example.org", Names: []string{"mail.example.org"}} },
		MailSettings: &mailsettings.Responder{
			Services: func() []mailsettings.Service {
				return []mailsettings.Service{{Protocol: "imap", Host: "mail.example.org", Port: 993, Security: proxy.Implicit}}
			},
			Domains: func(context.Context) (map[string]bool, error) { return map[string]bool{"example.org": true}, nil },
			Log:     zap.NewNop(),
		},
	})
	ask := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		c.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://autoconfig.example.org"+path, nil))
		return w
	}
	if w := ask("/mail/config-v1.1.xml?emailaddress=you@example.org"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "<hostname>mail.example.org</hostname>") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := ask("/signin"); w.Code != http.StatusMisdirectedRequest {
		t.Errorf("the console itself answers by another name: %d", w.Code)
	}
}
