package console

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"authferry/internal/console/consoletest"
	"authferry/internal/console/frame"
	"authferry/internal/console/pages"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// element is an element of a page, with its text and its place.
type element struct {
	name string
	attr map[string]string
	in   []*element // around it, the outermost first
	text strings.Builder
}

func (e *element) inside(name string) bool {
	return slices.ContainsFunc(e.in, func(o *element) bool { return o.name == name })
}

// parsePage reads a page. The pages close every element, so that a reader of XML
// understands them.
func parsePage(t *testing.T, page string) []*element {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var all, open []*element
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("the page cannot be read: %v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := &element{name: token.Name.Local, attr: map[string]string{}, in: slices.Clone(open)}
			for _, a := range token.Attr {
				e.attr[a.Name.Local] = a.Value
			}
			all, open = append(all, e), append(open, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			for _, e := range open {
				e.text.Write(token)
			}
		}
	}
}

var unknownKey = regexp.MustCompile(`\b(?:frame|nav|signin|enter|error|done|time|overview|state|cause|mailbox|password|made|servers|remove|logins|result|people|link|account|configuration)\.[a-z-]+\b`)

// checkHTML checks that a page can be used without a mouse and without sight.
func checkHTML(t *testing.T, name, language, page string) {
	t.Helper()
	all := parsePage(t, page)
	ids, labelled, level, headings := map[string]int{}, map[string]bool{}, 0, 0
	for _, e := range all {
		if id := e.attr["id"]; id != "" {
			ids[id]++
		}
		if e.name == "label" {
			labelled[e.attr["for"]] = true
		}
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("%s: the id %s is there %d times", name, id, n)
		}
	}
	for _, e := range all {
		_, styled := e.attr["style"]
		switch {
		case styled || e.name == "style" || e.name == "script" && e.attr["src"] == "":
			t.Errorf("%s: style or script within the page, which the policy stops", name)
		case e.name == "html" && e.attr["lang"] != language:
			t.Errorf("%s: in %s, it says %s", name, language, e.attr["lang"])
		case e.name == "title" && strings.TrimSuffix(strings.TrimSpace(e.text.String()), "· authferry") == "":
			t.Errorf("%s: no title", name)
		case len(e.name) == 2 && e.name[0] == 'h' && e.name[1] >= '1' && e.name[1] <= '6':
			now := int(e.name[1] - '0')
			if now > level+1 {
				t.Errorf("%s: %s follows h%d", name, e.name, level)
			}
			if level = now; now == 1 {
				headings++
			}
			if strings.TrimSpace(e.text.String()) == "" {
				t.Errorf("%s: an empty heading", name)
			}
		case e.name == "input" && e.attr["type"] != "hidden", e.name == "select", e.name == "textarea":
			if !labelled[e.attr["id"]] && !e.inside("label") || e.attr["id"] == "" && !e.inside("label") {
				t.Errorf("%s: no label for %v", name, e.attr)
			}
		case e.name == "button" || e.name == "a":
			if strings.TrimSpace(e.text.String()) == "" && e.attr["aria-label"] == "" {
				t.Errorf("%s: a %s that says nothing: %v", name, e.name, e.attr)
			}
			if strings.HasPrefix(e.attr["href"], "#") && ids[e.attr["href"][1:]] == 0 {
				t.Errorf("%s: a link to %s, which is not there", name, e.attr["href"])
			}
		case e.name == "form" && e.attr["method"] == "":
			t.Errorf("%s: a form without a method", name)
		case e.name == "img" && !strings.Contains(page, `alt=`):
			t.Errorf("%s: a picture without a text", name)
		}
		for _, list := range []string{"aria-describedby", "aria-labelledby"} {
			if id := e.attr[list]; id != "" && ids[id] == 0 {
				t.Errorf("%s: %s names %s, which is not there", name, list, id)
			}
		}
	}
	if headings != 1 {
		t.Errorf("%s: %d headings of the first order", name, headings)
	}
	for _, key := range unknownKey.FindAllString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, " "), -1) {
		if !pages.Known(key) && key != "mailbox.org" {
			t.Errorf("%s: it shows the key %s", name, key)
		}
	}
	if strings.Contains(page, "{n}") || strings.Contains(page, "{span}") || strings.Contains(page, "<no value>") || strings.Contains(page, "%!") {
		t.Errorf("%s: something was not filled in", name)
	}
}

// TestPages: every page works in every language, for every kind of user.
func TestPages(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	before := s.Browser().Do("/signin", nil).Wants(t, http.StatusOK)
	checkHTML(t, "first sign-in", "en", before.Text)
	token := s.Link("", mine)
	admin := s.Entered("admin")
	for _, l := range (pages.Printer{}).Languages() {
		b := s.Browser()
		b.Cookies[pages.LanguageCookie] = l.Code
		check := func(name string, r consoletest.Reply) {
			t.Helper()
			checkHTML(t, l.Code+" "+name, l.Code, r.Text)
			if got := r.Header.Get("Content-Language"); got != l.Code {
				t.Errorf("%s: the language is %q", name, got)
			}
		}
		check("sign-in", b.Do("/signin", nil).Wants(t, http.StatusOK))
		check("refused", b.Do("/signin", url.Values{"name": {"x"}, "password": {"y"}, "next": {"/logins"}}))
		check("link to enter", b.Do("/enter/"+token, nil).Wants(t, http.StatusOK))
		check("nothing", b.Do("/nothing", nil).Wants(t, http.StatusNotFound))
		b.Cookies["authferry"] = admin.Cookies["authferry"]
		for _, path := range []string{
			"/", frame.MailboxPath(mine), frame.MailboxPath(mine, "remove"), "/logins", "/logins?failed=1&mailbox=" + mine, "/people", "/account", "/configuration",
			"/account?done=welcome", "/?done=nothing-of-the-kind",
		} {
			check(path, b.Do(path, nil).Wants(t, http.StatusOK))
		}
		check("wrong password", b.Do(frame.MailboxPath(mine, "passwords"), url.Values{"name": {""}}))
		check("new password", b.Do(frame.MailboxPath(mine, "passwords"), url.Values{"name": {"for " + l.Code}, "protocol": {"imap", "pop3", "smtp"}}).Wants(t, http.StatusOK))
		check("new link", b.Do("/people/link", url.Values{"name": {"anna"}}).Wants(t, http.StatusOK))
		check("no link", b.Do("/people/link", url.Values{}).Wants(t, http.StatusUnprocessableEntity))
	}
}

// TestLanguages: a page is in the language that was chosen, or that the browser
// asks for.
func TestLanguages(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for asked, want := range map[string]string{
		"": "en", "pl": "pl", "ro-RO,ro;q=0.9,en;q=0.8": "ro", "fr, de-AT;q=0.5, en;q=0.3": "de", "fr": "en", "de;q=0, pl;q=0.1": "pl", "pl;q=x": "en",
	} {
		b := s.Browser()
		b.Header.Set("Accept-Language", asked)
		if got := b.Do("/signin", nil).Header.Get("Content-Language"); got != want {
			t.Errorf("who asks for %q gets %s, not %s", asked, got, want)
		}
	}
	b := s.Browser()
	b.Do("/language", url.Values{"language": {"pl"}, "next": {"/signin"}}).Wants(t, http.StatusSeeOther, "/signin")
	b.Header.Set("Accept-Language", "de")
	b.Do("/signin", nil).Wants(t, http.StatusOK, "Logowanie")
	b.Do("/language", url.Values{"language": {"tlh"}}).Wants(t, http.StatusBadRequest)
}

// TestConditions: every state and cause has words of its own, mailboxes with
// problems come first, and one that needs a person says what to do.
func TestConditions(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	v := pages.Printer{Language: "pl", Now: s.Now}
	a := func(change func(*store.Account)) *store.Account {
		a := &store.Account{Mailbox: mine, Provider: "gmail", Connected: s.Now(), Token: oauth.Token{Access: "x", Refresh: "y", Minted: s.Now(), Expiry: s.Now().Add(time.Hour)}}
		change(a)
		return a
	}
	seen := map[string]oauth.Cause{}
	for _, cause := range []oauth.Cause{
		oauth.CauseUnknown, oauth.CauseRevoked, oauth.CauseTesting, oauth.CauseSessionControl, oauth.CausePolicy, oauth.CauseClientDeleted,
		oauth.CauseClient, oauth.CauseDelegation, oauth.CauseUnknownUser, oauth.CauseInteraction, oauth.CauseClock, oauth.CauseNoGrant,
		oauth.CauseCommand, oauth.CauseThrottled, oauth.CauseOutage, oauth.CauseUnreachable,
	} {
		c := conditionOf(s.console, v, a(func(a *store.Account) { a.Dead = &store.Failure{Cause: cause, At: s.Now(), Since: s.Now()} }), nil)
		if c.Words == "" || c.Fix == "" || strings.Contains(c.Words+c.Fix, "cause.") || c.Level != "bad" {
			t.Errorf("%q: %q, %q, %s", cause, c.Words, c.Fix, c.Level)
		}
		if other, twice := seen[c.Words]; twice {
			t.Errorf("%q and %q say the same", cause, other)
		}
		seen[c.Words] = cause
	}
	for _, test := range []struct {
		change func(*store.Account)
		level  string
	}{
		{func(*store.Account) {}, "good"},
		{func(a *store.Account) { a.Trouble = &store.Failure{Cause: oauth.CauseOutage} }, "warn"},
		{func(a *store.Account) { a.Trouble = &store.Failure{Cause: oauth.CauseClient, Since: s.Now()} }, "bad"},
		{func(a *store.Account) { a.Token.RefreshExpiry = s.Now().Add(soon / 2) }, "warn"},
		{func(a *store.Account) { a.Token.RefreshExpiry = s.Now().Add(soon * 2) }, "good"},
		{func(a *store.Account) { a.Provider = "" }, "off"},
	} {
		if c := conditionOf(s.console, v, a(test.change), nil); c.Level != test.level || (c.Level == "good") != (c.Words == "") {
			t.Errorf("%s, %q; want %s", c.Level, c.Words, test.level)
		}
	}
	if _, err := s.Vault.Remove(t.Context(), mine, tokens.Removal{KeepPasswords: true, KeepGrant: true}); err != nil {
		t.Fatal(err)
	}
	page := s.Entered("admin").Do("/", nil).Wants(t, http.StatusOK).Text
	if strings.Index(page, theirs) > strings.Index(page, mine) {
		t.Error("a mailbox that nobody misses comes first")
	}
	// The use by a live session is shown before the store records it.
	if !strings.Contains(page, fmt.Sprintf("%d hour", 1)) {
		t.Error("a live session counts for nothing")
	}
}

// TestStatic: browsers cache a file until it changes.
func TestStatic(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	b := s.Browser()
	for name, kind := range map[string]string{"style.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"} {
		r := b.Do(pages.StaticPath(name), nil).Wants(t, http.StatusOK)
		if !strings.HasPrefix(r.Header.Get("Content-Type"), kind) || !strings.Contains(r.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %v", name, r.Header)
		}
		if r := b.Do("/static/"+name+"?v=old", nil); strings.Contains(r.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s is kept for a version that it is not", name)
		}
	}
	b.Do("/static/nothing.css", nil).Wants(t, http.StatusNotFound)
}

// TestProfileForATelephone: the URL of the settings is shown if a telephone can reach
// it.
func TestProfileForATelephone(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	admin := s.Entered("admin")
	if r := admin.Do(frame.MailboxPath(mine), nil).Wants(t, http.StatusOK, "Livespace", "mail.example.org"); strings.Contains(r.Text, "profile.svg") {
		t.Error("a profile at an address that no telephone can reach")
	}
	admin.Do(frame.MailboxPath(mine, "profile.svg"), nil).Wants(t, http.StatusNotFound)
	s.access.URL = "http://mail.example.org"
	s.access.Names = append(s.access.Names, "mail.example.org")
	page := admin.Do(frame.MailboxPath(mine), nil).Wants(t, http.StatusOK, "http://mail.example.org/email.mobileconfig?email="+url.QueryEscape(mine))
	checkHTML(t, "with a profile", "en", page.Text)
	code := admin.Do(frame.MailboxPath(mine, "profile.svg"), nil).Wants(t, http.StatusOK, "<svg")
	if got := code.Header.Get("Content-Type"); got != "image/svg+xml" {
		t.Errorf("the code is %q", got)
	}
}
