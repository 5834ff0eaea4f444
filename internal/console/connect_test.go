package console

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"authferry/demo"
	"authferry/internal/console/people"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// TestConnectByAnAdministrator: an administrator connects a mailbox, and connects
// it again when its grant has died; its passwords stay.
func TestConnectByAnAdministrator(t *testing.T) {
	f := newFerry(t)
	b := f.administrator()
	b.get("/connect")
	b.want(http.StatusOK, "Sign in with Google")
	for range 2 {
		b.post("/connect", "mailbox", "Owner@Gmail.com", "provider", "gmail", "way", "page")
		b.want(http.StatusOK, "You are being redirected")
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

// TestConnectRefuses: a wrong form is refused with a reason, and nothing is kept.
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

// TestDenied: an owner who denies the access can sign in again.
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

// TestSignInBelongsToItsBrowser: a sign-in that one browser has begun cannot be
// seen or finished by another, or finished twice.
func TestSignInBelongsToItsBrowser(t *testing.T) {
	f := newFerry(t)
	b := f.administrator()
	b.post("/connect", "mailbox", owner, "provider", "gmail")
	signIn := b.path
	back, err := f.gmail.Consent(b.consentPage(), owner)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []*caller{f.browser(), f.administrator()} {
		other.get(back)
		other.want(http.StatusBadRequest, "begun in another browser")
		other.get(signIn)
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
	f.late.Store(int64(30 * time.Minute))
	b.get(signIn)
	b.want(http.StatusNotFound, "")
}

// TestPaste: where the provider cannot come back, a person brings the address.
func TestPaste(t *testing.T) {
	f := newFerry(t)
	b := f.administrator()
	b.post("/connect", "mailbox", owner, "provider", "gmail", "way", "paste")
	b.want(http.StatusOK, "Paste the address here")
	signIn, page := b.path, b.find(`href="(http[^"]*client_id=[^"]*)"`)
	for _, wrong := range []string{"", "no address", "http://127.0.0.1:47653/?state=another&code=4/abc"} {
		b.post(signIn+"/paste", "address", wrong)
		b.want(http.StatusUnprocessableEntity, "That is not the address")
	}
	back, err := f.gmail.Consent(page, owner)
	if err != nil {
		t.Fatal(err)
	}
	b.post(signIn+"/paste", "address", " \""+back+"\"\n")
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

// ended waits until the sign-in or the check of a page has ended, and shows it.
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
// kept unproven, as on the command line; one by an invitation is not.
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

// TestOwnersConnectTheirOwn: an owner renews the grant of their mailbox; for them
// there are no others.
func TestOwnersConnectTheirOwn(t *testing.T) {
	f := newFerry(t)
	b := f.signedIn(people.LinkOptions{Owner: []string{owner}})
	b.post("/connect", "mailbox", stranger, "provider", "gmail")
	b.want(http.StatusNotFound, "or it is not yours")
	b.get("/mailboxes/" + stranger + "/connect")
	b.want(http.StatusNotFound, "")
	b.get("/invitations")
	b.want(http.StatusForbidden, "")
	b.post("/invitations", "for", stranger)
	b.want(http.StatusForbidden, "")
	f.renewsAlone(b)
	f.browser().wantsSession("/connect", "/invitations", "/invitations/x/revoke", "/mailboxes/"+owner+"/test", "/mailboxes/"+owner+"/test/cancel")
}

// renewsAlone checks that an owner can only renew the present grant.
func (f *ferry) renewsAlone(b *caller) {
	f.t.Helper()
	refused := func(provider string) {
		f.t.Helper()
		b.post("/connect", "mailbox", owner, "provider", provider)
		b.want(http.StatusForbidden, "Only an administrator can connect "+owner)
	}
	refused("gmail") // it was never connected
	admin := f.administrator()
	admin.post("/connect", "mailbox", owner, "provider", "gmail")
	admin.consents(owner)
	admin.want(http.StatusOK, "is connected")
	b.post("/connect", "mailbox", owner, "provider", "gmail")
	b.consents(owner)
	b.want(http.StatusOK, "is connected")

	gmail := f.providers[0]
	other, alone := *gmail, *gmail
	other.Name, alone.Flow = "other", oauth.FlowServiceAccount
	f.providers = []*oauth.Provider{gmail, &other}
	refused("other")
	f.providers = []*oauth.Provider{&alone}
	refused("gmail")
	f.providers = []*oauth.Provider{gmail}
	if _, err := f.vault.Remove(f.t.Context(), owner, tokens.Removal{KeepGrant: true, KeepPasswords: true}); err != nil {
		f.t.Fatal(err)
	}
	refused("gmail")
}

// wantsSession checks that a POST without a session is refused.
func (b *caller) wantsSession(paths ...string) {
	b.t.Helper()
	for _, path := range paths {
		b.post(path, "mailbox", owner, "provider", "gmail")
		b.want(http.StatusForbidden, "no longer signed in")
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
