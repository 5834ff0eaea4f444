package console

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestLink: looking at a link does not use it up; using it does, once, however
// many try at a time.
func TestLink(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	token := s.link("")
	for range 2 {
		if r := s.browser().do("/enter/"+token, nil).wants(t, http.StatusOK, "admin"); len(r.Cookies()) > 0 {
			t.Error("looking at a link sets a cookie")
		}
	}
	var mu sync.Mutex
	var trying sync.WaitGroup
	statuses := map[int]int{}
	for range 4 {
		trying.Go(func() {
			r := s.browser().do("/enter", url.Values{"token": {token}})
			mu.Lock()
			defer mu.Unlock()
			statuses[r.StatusCode]++
		})
	}
	trying.Wait()
	if statuses[http.StatusSeeOther] != 1 || statuses[http.StatusNotFound] != 3 {
		t.Errorf("answers: %v", statuses)
	}
	over := s.link("")
	s.pass(LinkLife)
	s.browser().do("/enter/"+over, nil).wants(t, http.StatusNotFound)
	s.browser().do("/enter", url.Values{"token": {over}}).wants(t, http.StatusNotFound)
	if document, err := s.Vault.Document(t.Context(), registerDocument); err != nil || strings.Contains(string(document), token) || strings.Contains(string(document), over) {
		t.Errorf("the register keeps links as they are, or cannot be read: %v", err)
	}
}

// TestLinkRaisesNobody: a link for an owner opens no administrator's account,
// whatever the order they were made and used in.
func TestLinkRaisesNobody(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	owners := s.link("anna", mine)
	s.entered("anna")
	s.browser().do("/enter", url.Values{"token": {owners}}).wants(t, http.StatusNotFound)
	if _, _, err := NewLink(t.Context(), s.Vault, SignIn{Name: "Anna", Owner: []string{mine}}); err == nil {
		t.Error("a link for an owner of an administrator's name was made")
	}
}

// TestSignIn: a password, once set, signs in; what is wrong is told in one way,
// and costs time.
func TestSignIn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const password = "correct horse battery"
	s.browser().do("/signin", nil).wants(t, http.StatusOK, "authferry console link")
	b := s.entered("Anna")
	other := s.entered("anna")
	b.do("/account/password", url.Values{"new": {"short"}}).wants(t, http.StatusUnprocessableEntity)
	b.do("/account/password", url.Values{"new": {password}}).wants(t, http.StatusSeeOther, "password-set")
	b.do("/", nil).wants(t, http.StatusOK)
	other.do("/", nil).wants(t, http.StatusSeeOther, "/signin") // signed out by it

	c := s.browser()
	c.cookies[sessionCookie] = b.cookies[sessionCookie]
	fixed := c.cookies[sessionCookie]
	c.do("/signin", url.Values{"name": {" ANNA "}, "password": {password}, "next": {"/logins"}}).wants(t, http.StatusSeeOther, "/logins")
	if c.cookies[sessionCookie] == fixed {
		t.Error("the session was known before")
	}
	b.do("/", nil).wants(t, http.StatusSeeOther, "/signin") // its session made room
	// Signed in by the password, it takes the password to change it.
	c.do("/account/password", url.Values{"new": {"another password"}, "old": {"wrong"}}).wants(t, http.StatusForbidden)
	c.do("/signout", url.Values{}).wants(t, http.StatusSeeOther, "/signin")
	c.cookies[sessionCookie] = fixed
	c.do("/", nil).wants(t, http.StatusSeeOther, "/signin")

	d := s.browser()
	wrong := d.do("/signin", url.Values{"name": {"anna"}, "password": {"wrong"}}).wants(t, http.StatusForbidden)
	unknown := d.do("/signin", url.Values{"name": {"nobo"}, "password": {"wrong"}}).wants(t, http.StatusForbidden)
	if strings.ReplaceAll(wrong.body, "anna", "nobo") != unknown.body {
		t.Error("an unknown name is told from a wrong password")
	}
	for range freeGuesses {
		d.do("/signin", url.Values{"name": {"anna"}, "password": {"wrong"}})
	}
	r := d.do("/signin", url.Values{"name": {"anna"}, "password": {password}}).wants(t, http.StatusTooManyRequests)
	if r.Header.Get("Retry-After") == "" {
		t.Error("nobody is told when to try again")
	}
	s.pass(longestWait)
	d.do("/signin", url.Values{"name": {"anna"}, "password": {password}}).wants(t, http.StatusSeeOther)
	if text := s.log.String(); strings.Contains(text, password) || !strings.Contains(text, "console sign-in") {
		t.Error("the log has the password, or nothing")
	}
}

// TestSessionsEnd: sessions end by themselves, and with who has them.
func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	admin, idle := s.entered("admin"), s.entered("anna")
	s.pass(sessionIdle / 2)
	admin.do("/", nil).wants(t, http.StatusOK)
	s.pass(sessionIdle / 2)
	idle.do("/", nil).wants(t, http.StatusSeeOther, "/signin")
	admin.do("/", nil).wants(t, http.StatusOK)
	gone := s.entered("", mine)
	gone.do("/", nil).wants(t, http.StatusOK)
	admin.do("/people/remove", url.Values{"name": {"ADMIN"}}).wants(t, http.StatusForbidden)
	admin.do("/people/remove", url.Values{"name": {mine}}).wants(t, http.StatusSeeOther)
	gone.do("/", nil).wants(t, http.StatusSeeOther, "/signin")
	for range int(sessionLife/sessionIdle)*2 + 1 {
		s.pass(sessionIdle / 2)
		admin.do("/", nil)
	}
	admin.do("/", nil).wants(t, http.StatusSeeOther, "/signin") // however much it is used
}

// TestCookie: what keeps a session from others' hands.
func TestCookie(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, test := range []struct {
		url, name string
		secure    bool
	}{{s.server.URL, sessionCookie, false}, {"https://mail.example.org", sessionCookieSecure, true}} {
		s.access.URL = test.url
		token := s.link("")
		r := s.browser().do("/enter", url.Values{"token": {token}}).wants(t, http.StatusSeeOther)
		c := r.Cookies()[0]
		if c.Name != test.name || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure != test.secure || c.Path != "/" || c.Domain != "" {
			t.Errorf("at %s the cookie is %v", test.url, c)
		}
		if data, err := s.Vault.Document(t.Context(), registerDocument); err != nil || strings.Contains(string(data), c.Value) {
			t.Errorf("the register keeps the cookie as it is, or cannot be read: %v", err)
		}
	}
}

// TestNext: no redirect leads elsewhere.
func TestNext(t *testing.T) {
	t.Parallel()
	for next, want := range map[string]string{
		"/logins": "/logins", "/mailboxes/a@b.example": "/mailboxes/a@b.example", "": "/", "https://evil.example": "/", "//evil.example": "/",
		"/\\evil.example": "/", "logins": "/", "/\tx": "/", "javascript:alert(1)": "/",
	} {
		v := &visit{r: &http.Request{Method: http.MethodGet, URL: &url.URL{RawQuery: url.Values{"next": {next}}.Encode()}}}
		if got := v.next(); got != want {
			t.Errorf("%q leads to %q, not %q", next, got, want)
		}
	}
}

// TestGuesses: the addresses of an IPv6 /64 count together, and waits grow.
func TestGuesses(t *testing.T) {
	t.Parallel()
	g, now := newGuesses(), time.Now()
	for i := range freeGuesses {
		if wait := g.wait(netip.MustParseAddr("2001:db8::1"), "", now); wait != 0 {
			t.Errorf("after %d guesses: wait %s", i, wait)
		}
		g.failed(netip.MustParseAddr("2001:db8::1"), "", now)
	}
	if wait := g.wait(netip.MustParseAddr("2001:db8::ffff:2"), "", now); wait != firstWait {
		t.Errorf("an address of the same /64 waits %s", wait)
	}
	if wait := g.wait(netip.MustParseAddr("2001:db8:1::1"), "", now); wait != 0 {
		t.Errorf("an address of another network waits %s", wait)
	}
	for range 40 {
		g.failed(netip.MustParseAddr("2001:db8::1"), "", now)
	}
	if wait := g.wait(netip.MustParseAddr("2001:db8::1"), "", now); wait != longestWait {
		t.Errorf("after many failures: wait %s", wait)
	}
	const most = 10_000 // of a gate.Limiter
	for i := range most + 10 {
		g.failed(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), "", now)
	}
	if n := g.limiter.Len(); n != most {
		t.Errorf("%d are remembered", n)
	}
}

// TestGuessesByName: a right password for one name leaves the failures for the
// others, and old failures are forgotten.
func TestGuessesByName(t *testing.T) {
	t.Parallel()
	g, now, from := newGuesses(), time.Now(), netip.MustParseAddr("192.0.2.1")
	for range freeGuesses - 1 {
		g.failed(from, "anna", now)
	}
	g.failed(from, "mallory", now)
	g.forget(from, "Mallory ")
	if wait := g.wait(from, "anna", now); wait != 0 {
		t.Errorf("the failures before a success still count: wait %s", wait)
	}
	g.failed(from, "ANNA", now)
	g.forget(from, "mallory")
	for _, name := range []string{"anna", "mallory", ""} {
		if wait := g.wait(from, name, now); wait != firstWait {
			t.Errorf("%q waits %s", name, wait)
		}
	}
	now = now.Add(firstWait + longestWait + 1)
	g.failed(from, "anna", now)
	if wait := g.wait(from, "anna", now); wait != 0 {
		t.Errorf("old failures count: wait %s", wait)
	}
}

// TestGuessesAtOnce: concurrent requests get no more guesses than consecutive ones,
// and a bounded number waits for its turn.
func TestGuessesAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.verifying <- struct{}{} // one verifies at a time
	var all sync.WaitGroup
	var tried, held atomic.Int32
	for range 3 * freeGuesses {
		all.Go(func() {
			switch s.browser().do("/signin", url.Values{"name": {"anna"}, "password": {"wrong"}}).StatusCode {
			case http.StatusForbidden:
				tried.Add(1)
			case http.StatusTooManyRequests:
				held.Add(1)
			}
		})
	}
	all.Wait()
	if tried.Load() != freeGuesses || held.Load() != 2*freeGuesses {
		t.Errorf("%d were verified, %d had to wait", tried.Load(), held.Load())
	}
	s.pass(3 * longestWait)
	for range maxQueued {
		s.queue <- struct{}{}
	}
	s.browser().do("/signin", url.Values{"name": {"anna"}, "password": {"wrong"}}).wants(t, http.StatusTooManyRequests)
}
