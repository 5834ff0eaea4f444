package frame

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authferry/internal/console/consoletest"
	"authferry/internal/console/people"
)

// stage is a frame with one page, for signed-in users.
type stage struct {
	*consoletest.Stage
	frame  *Frame
	access Access
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{Stage: consoletest.New(t)}
	s.frame = New(Deps{Log: s.Log, Vault: s.Vault, Access: func() Access { return s.access }, Now: s.Now})
	s.frame.Handle("GET /{$}", SignedIn, func(r *Request) error { return r.Show("error", struct{ Words, Detail string }{"home", ""}) })
	s.Serve(s.frame)
	s.access.URL = s.URL
	return s
}

// TestLink: opening a link does not use it up. Of several concurrent sign-ins with it,
// one succeeds.
func TestLink(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	token := s.Link("")
	for range 2 {
		if r := s.Browser().Do("/enter/"+token, nil).Wants(t, http.StatusOK, "admin"); len(r.Cookies()) > 0 {
			t.Error("looking at a link sets a cookie")
		}
	}
	var mu sync.Mutex
	var trying sync.WaitGroup
	statuses := map[int]int{}
	for range 4 {
		trying.Go(func() {
			r := s.Browser().Do("/enter", url.Values{"token": {token}})
			mu.Lock()
			defer mu.Unlock()
			statuses[r.StatusCode]++
		})
	}
	trying.Wait()
	if statuses[http.StatusSeeOther] != 1 || statuses[http.StatusNotFound] != 3 {
		t.Errorf("answers: %v", statuses)
	}
	over := s.Link("")
	s.Pass(people.LinkLife)
	s.Browser().Do("/enter/"+over, nil).Wants(t, http.StatusNotFound)
	s.Browser().Do("/enter", url.Values{"token": {over}}).Wants(t, http.StatusNotFound)
	if document, err := s.Vault.Document(t.Context(), people.UsersDocument); err != nil || strings.Contains(string(document), token) || strings.Contains(string(document), over) {
		t.Errorf("the register keeps links as they are, or cannot be read: %v", err)
	}
}

// TestLinkRaisesNobody: a link for an owner opens no administrator's account, also if
// the administrator was added after the link was made.
func TestLinkRaisesNobody(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	owners := s.Link("anna", consoletest.Mine)
	s.Entered("anna")
	s.Browser().Do("/enter", url.Values{"token": {owners}}).Wants(t, http.StatusNotFound)
	if _, _, err := people.NewLink(t.Context(), s.Vault, people.LinkOptions{Name: "Anna", Owner: []string{consoletest.Mine}}); err == nil {
		t.Error("a link for an owner of an administrator's name was made")
	}
}

// TestSignIn: a password signs in. A wrong one and an unknown name get the same
// answer, and a wait after several.
func TestSignIn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const password = "correct horse battery"
	s.Browser().Do("/signin", nil).Wants(t, http.StatusOK, "authferry console link")
	b := s.Entered("Anna")
	other := s.Entered("anna")
	b.Do("/account/password", url.Values{"new": {"short"}}).Wants(t, http.StatusUnprocessableEntity)
	b.Do("/account/password", url.Values{"new": {password}}).Wants(t, http.StatusSeeOther, "password-set")
	b.Do("/", nil).Wants(t, http.StatusOK)
	other.Do("/", nil).Wants(t, http.StatusSeeOther, "/signin") // signed out by it

	c := s.Browser()
	c.Cookies[sessionCookie] = b.Cookies[sessionCookie]
	fixed := c.Cookies[sessionCookie]
	c.Do("/signin", url.Values{"name": {" ANNA "}, "password": {password}, "next": {"/logins"}}).Wants(t, http.StatusSeeOther, "/logins")
	if c.Cookies[sessionCookie] == fixed {
		t.Error("the session was known before")
	}
	b.Do("/", nil).Wants(t, http.StatusSeeOther, "/signin") // the new session replaced it
	// After a sign-in by password, a change requires the old password.
	c.Do("/account/password", url.Values{"new": {"another password"}, "old": {"wrong"}}).Wants(t, http.StatusForbidden)
	c.Do("/signout", url.Values{}).Wants(t, http.StatusSeeOther, "/signin")
	c.Cookies[sessionCookie] = fixed
	c.Do("/", nil).Wants(t, http.StatusSeeOther, "/signin")

	d := s.Browser()
	wrong := d.Do("/signin", url.Values{"name": {"anna"}, "password": {"wrong"}}).Wants(t, http.StatusForbidden)
	unknown := d.Do("/signin", url.Values{"name": {"nobo"}, "password": {"wrong"}}).Wants(t, http.StatusForbidden)
	if strings.ReplaceAll(wrong.Text, "anna", "nobo") != unknown.Text {
		t.Error("an unknown name is told from a wrong password")
	}
	for range freeGuesses {
		d.Do("/signin", url.Values{"name": {"anna"}, "password": {"wrong"}})
	}
	r := d.Do("/signin", url.Values{"name": {"anna"}, "password": {password}}).Wants(t, http.StatusTooManyRequests)
	if r.Header.Get("Retry-After") == "" {
		t.Error("nobody is told when to try again")
	}
	s.Pass(longestWait)
	d.Do("/signin", url.Values{"name": {"anna"}, "password": {password}}).Wants(t, http.StatusSeeOther)
	if text := s.Logged(); strings.Contains(text, password) || !strings.Contains(text, "console sign-in") {
		t.Error("the log has the password, or nothing")
	}
}

// TestCookie: the session's cookie has the attributes that protect it, and the store
// does not hold its value.
func TestCookie(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, test := range []struct {
		url, name string
		secure    bool
	}{{s.URL, sessionCookie, false}, {"https://mail.example.org", sessionCookieSecure, true}} {
		s.access.URL = test.url
		token := s.Link("")
		r := s.Browser().Do("/enter", url.Values{"token": {token}}).Wants(t, http.StatusSeeOther)
		c := r.Cookies()[0]
		if c.Name != test.name || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure != test.secure || c.Path != "/" || c.Domain != "" {
			t.Errorf("at %s the cookie is %v", test.url, c)
		}
		if data, err := s.Vault.Document(t.Context(), people.UsersDocument); err != nil || strings.Contains(string(data), c.Value) {
			t.Errorf("the register keeps the cookie as it is, or cannot be read: %v", err)
		}
	}
}

// TestNext: no redirect leads to another site.
func TestNext(t *testing.T) {
	t.Parallel()
	for next, want := range map[string]string{
		"/logins": "/logins", "/mailboxes/a@b.example": "/mailboxes/a@b.example", "": "/", "https://evil.example": "/", "//evil.example": "/",
		"/\\evil.example": "/", "logins": "/", "/\tx": "/", "javascript:alert(1)": "/",
	} {
		v := &Request{HTTP: &http.Request{Method: http.MethodGet, URL: &url.URL{RawQuery: url.Values{"next": {next}}.Encode()}}}
		if got := v.Next(); got != want {
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
	s.frame.verifying <- struct{}{} // one verifies at a time
	var all sync.WaitGroup
	var tried, held atomic.Int32
	for range 3 * freeGuesses {
		all.Go(func() {
			switch s.Browser().Do("/signin", url.Values{"name": {"anna"}, "password": {"wrong"}}).StatusCode {
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
	s.Pass(3 * longestWait)
	for range maxQueued {
		s.frame.queue <- struct{}{}
	}
	s.Browser().Do("/signin", url.Values{"name": {"anna"}, "password": {"wrong"}}).Wants(t, http.StatusTooManyRequests)
}
