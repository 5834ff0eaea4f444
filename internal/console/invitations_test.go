package console

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"authferry/internal/console/people"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// TestInvitation takes every step of an administrator and an owner. A mail
// scanner opens the link before the owner does, and the administrator never
// sees the password.
func TestInvitation(t *testing.T) {
	f := newFerry(t)
	b := f.administrator()
	link := b.invitation(owner, "protocols", "imap", "networks", "192.0.2.0/24, 2001:db8::1", "days", "30")
	token := link[strings.LastIndex(link, "/")+1:]
	for range 3 {
		f.browser().get(link)
	}

	guest := f.browser()
	guest.get(link)
	guest.want(http.StatusOK, "Connect "+owner)
	guest.want(http.StatusOK, "Ada asks you to let Livespace CRM use your mailbox")
	guest.want(http.StatusOK, "192.0.2.0/24, 2001:db8::1/128")
	guest.want(http.StatusOK, "For 30 days")
	if guest.path != "/invitation" || strings.Contains(guest.body, token) {
		t.Errorf("the token stays: %s", guest.path)
	}
	guest.post("/invitation")
	guest.consents(owner)
	guest.want(http.StatusOK, "This is the password for Livespace CRM")
	guest.want(http.StatusOK, "mail.example.org")
	if strings.Contains(guest.body, "SMTP") {
		t.Error("a server that the password is not good for")
	}
	password := guest.find(passwordPattern)
	if err := f.letsIn(owner, password, "imap"); err != nil {
		t.Errorf("the password is not let in: %v", err)
	}
	if err := f.letsIn(owner, password, "smtp"); !errors.Is(err, tokens.ErrBadLogin) {
		t.Errorf("over smtp: %v", err)
	}
	a, err := f.vault.Account(t.Context(), owner)
	if err != nil || len(a.Passwords) != 1 || len(a.Passwords[0].Networks) != 2 || a.Passwords[0].Expires.IsZero() {
		t.Errorf("%+v, %v", a, err)
	}

	signIn := guest.path
	guest.get(signIn)
	guest.want(http.StatusOK, password)
	guest.post(signIn + "/forget")
	guest.want(http.StatusOK, "is no longer shown")
	if strings.Contains(guest.body, password) {
		t.Error("it is shown")
	}
	for _, late := range []*caller{guest, f.browser()} {
		late.get(link)
		late.want(http.StatusGone, "has been used")
	}
	b.get("/invitations")
	b.want(http.StatusOK, ">used<")
	b.get("/mailboxes/" + owner)
	b.want(http.StatusOK, "Livespace CRM")
	for _, page := range []string{"/", "/invitations", "/mailboxes/" + owner} {
		b.get(page)
		if strings.Contains(b.body, password) || strings.Contains(b.body, token) {
			t.Errorf("%s has the password or the link", page)
		}
	}
	for _, entry := range f.log.All() {
		for _, field := range entry.Context {
			if strings.Contains(field.String, password) || strings.Contains(field.String, token) {
				t.Errorf("the log has the password or the link: %s", entry.Message)
			}
		}
	}
	if data, err := f.vault.Document(t.Context(), people.InvitationsDocument); err != nil || strings.Contains(string(data), token) {
		t.Errorf("the link is kept as it is, or %v", err)
	}
}

// TestInvitationOfADomain: an invitation for a domain admits its mailboxes only.
func TestInvitationOfADomain(t *testing.T) {
	f := newFerry(t)
	link := f.administrator().invitation("example.com")
	guest := f.browser()
	guest.get(link)
	guest.want(http.StatusOK, "Connect your mailbox at example.com")
	guest.post("/invitation")
	if page := guest.consentPage(); strings.Contains(page, "login_hint") || !strings.Contains(page, "hd=example.com") {
		t.Errorf("the consent page is %s", page)
	}
	guest.consents(stranger)
	guest.want(http.StatusOK, "You signed in as "+stranger+", which is not an address of example.com")
	guest.post("/invitation", "way", "page")
	guest.consents(colleague)
	if err := f.letsIn(colleague, guest.find(passwordPattern), "imap"); err != nil {
		t.Error(err)
	}
	if _, err := f.vault.Account(t.Context(), stranger); err == nil {
		t.Error("a stranger's mailbox is connected")
	}
}

// TestInvitationOutlivesFailures: a wrong account or a denied access does not use an
// invitation up. Of two sign-ins under way, one does.
func TestInvitationOutlivesFailures(t *testing.T) {
	f := newFerry(t)
	link := f.administrator().invitation(owner)
	guest, rival := f.browser(), f.browser()
	guest.get(link)
	guest.post("/invitation")
	guest.consents(stranger)
	guest.want(http.StatusOK, "You signed in as "+stranger)
	rival.get(link)
	rival.post("/invitation")
	guest.post("/invitation")
	guest.consents(owner)
	guest.want(http.StatusOK, "This is the password")
	rival.consents(owner)
	rival.want(http.StatusOK, "has been used")
	if a, err := f.vault.Account(t.Context(), owner); err != nil || len(a.Passwords) != 1 {
		t.Errorf("%d passwords, %v", len(a.Passwords), err)
	}
}

// TestInvitationAgain: a mailbox that has a password of that name keeps it.
func TestInvitationAgain(t *testing.T) {
	f := newFerry(t)
	b := f.administrator()
	var made []string
	for range 2 {
		guest := f.browser()
		guest.get(b.invitation(owner))
		guest.post("/invitation")
		guest.consents(owner)
		made = append(made, guest.find(passwordPattern))
	}
	for _, password := range made {
		if err := f.letsIn(owner, password, "imap"); err != nil {
			t.Error(err)
		}
	}
	a, err := f.vault.Account(t.Context(), owner)
	if err != nil || len(a.Passwords) != 2 || a.Passwords[1].Name != "Livespace CRM (2)" {
		t.Errorf("%v, %v", a.Passwords, err)
	}
}

// TestInvitationWithoutAPassword renews the grant alone.
func TestInvitationWithoutAPassword(t *testing.T) {
	f := newFerry(t)
	b := f.administrator()
	b.post("/invitations", "for", owner, "provider", "gmail", "hours", "24")
	guest := f.browser()
	guest.get(b.find(`<code>(http[^<]*/invitation/[^<]*)</code>`))
	guest.want(http.StatusOK, "renew the permission")
	guest.post("/invitation")
	guest.consents(owner)
	guest.want(http.StatusOK, "is connected")
	if a, err := f.vault.Account(t.Context(), owner); err != nil || len(a.Passwords) != 0 {
		t.Errorf("%v, %v", a, err)
	}
}

func TestInvitationEnds(t *testing.T) {
	f := newFerry(t)
	b := f.administrator()
	revoked, over := b.invitation(owner), b.invitation(stranger)
	guest := f.browser()
	guest.get(revoked)
	guest.want(http.StatusOK, "Connect")
	b.get("/invitations")
	list, err := people.InvitationStore{Vault: f.vault, Now: time.Now}.All(t.Context())
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	for _, i := range list {
		if i.Mailbox == owner {
			b.post("/invitations/" + i.ID + "/revoke")
			b.want(http.StatusOK, "is revoked")
			b.post("/invitations/" + i.ID + "/revoke")
			b.want(http.StatusOK, "had already ended")
		}
	}
	guest.post("/invitation")
	guest.want(http.StatusGone, "has been revoked")
	guest.get(revoked)
	guest.want(http.StatusGone, "has been revoked")
	f.late.Store(int64(73 * time.Hour))
	guest.get(over)
	guest.want(http.StatusGone, "has expired")
}

// TestLinksAreNotGuessed: a browser has to wait after several wrong links.
func TestLinksAreNotGuessed(t *testing.T) {
	f := newFerry(t)
	link := f.administrator().invitation(owner)
	b := f.browser()
	for range 5 {
		b.get("/invitation/" + people.NewToken().Reveal())
		b.want(http.StatusNotFound, "was never made")
	}
	b.get("/invitation/" + people.NewToken().Reveal())
	b.want(http.StatusTooManyRequests, "Too many attempts")
	f.late.Store(int64(31 * time.Second))
	b.get(link)
	b.want(http.StatusOK, "Connect "+owner)
}

// TestInvitationsAreChecked: an invitation that cannot work is refused when it is
// made, not after the owner has signed in.
func TestInvitationsAreChecked(t *testing.T) {
	f := newFerry(t)
	b := f.administrator()
	for says, form := range map[string][]string{
		"Write a mail address":      {"for", "nothing"},
		"Choose a provider":         {"for", owner, "provider", "nobody"},
		"Choose how long":           {"for", owner, "hours", "100000"},
		"at least one protocol":     {"for", owner, "password", "yes", "name", "CRM"},
		"not a network":             {"for", owner, "password", "yes", "name", "CRM", "protocols", "imap", "networks", "here"},
		"within the network":        {"for", owner, "password", "yes", "name", "CRM", "protocols", "imap", "networks", "192.0.2.5/24"},
		"whole number from 1 to":    {"for", owner, "password", "yes", "name", "CRM", "protocols", "imap", "days", "-1"},
		"The password needs a name": {"for", owner, "password", "yes", "protocols", "imap"},
		"read-only password sends":  {"for", owner, "password", "yes", "name", "CRM", "protocols", "smtp", "read_only", "yes"},
		"account to sign in with":   {"for", "example.com", "sign_in", owner},
	} {
		b.post("/invitations", append(form, "provider", "gmail", "hours", "72")...)
		b.want(http.StatusUnprocessableEntity, says)
	}
	b.get("/invitations")
	b.want(http.StatusOK, "None yet.")
}

// TestCrossSite: a page of another site can neither accept nor make an invitation.
func TestCrossSite(t *testing.T) {
	f := newFerry(t)
	b := f.administrator()
	b.get(b.invitation(owner))
	for _, path := range []string{"/invitation", "/invitations", "/invitations/x/revoke", "/connect", "/connect/x/paste", "/connect/x/forget", "/mailboxes/" + owner + "/test", "/mailboxes/" + owner + "/test/cancel"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		b.do(r)
		b.want(http.StatusForbidden, "came from another site")
	}
}

// TestInvitationNeedsProof: where the provider asks no one to sign in, a link opens
// nothing.
func TestInvitationNeedsProof(t *testing.T) {
	f := newFerry(t)
	link := f.administrator().invitation(owner)
	guest := f.browser()
	guest.get(link)
	guest.want(http.StatusOK, "Connect "+owner)
	alone := *f.providers[0]
	alone.Flow = oauth.FlowServiceAccount
	f.providers = []*oauth.Provider{&alone}
	guest.get("/invitation")
	guest.want(http.StatusServiceUnavailable, "could not begin")
	guest.post("/invitation")
	guest.want(http.StatusServiceUnavailable, "could not begin")
	if n := len(f.log.FilterMessage("an invitation could not begin").All()); n != 2 {
		t.Errorf("the log says it %d times", n)
	}
}
