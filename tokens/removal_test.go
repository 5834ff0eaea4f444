package tokens

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"authferry/internal/atomicfile"
	"authferry/internal/secret"
	"authferry/internal/testport"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// revocations makes the endpoint revoke grants, and notes which.
func (r *rig) revocations() func() []string {
	r.provider.RevokeURL = r.endpoint.URL + "/revoke"
	var mu sync.Mutex
	var told []string
	r.endpoint.Does(func(w http.ResponseWriter, q *http.Request) bool {
		if q.URL.Path != "/revoke" {
			return false
		}
		q.ParseForm()
		mu.Lock()
		defer mu.Unlock()
		told = append(told, q.PostForm.Get("token"))
		return true
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return told
	}
}

func TestRemoveRevokesTheGrant(t *testing.T) {
	r := newRig(t)
	told := r.revocations()
	refresh := r.account().Token.Refresh
	out, err := r.Remove(t.Context(), "ME@gmail.com", Removal{})
	if err != nil || !out.Revoked || out.Left != nil || out.Passwords != 0 || out.Mailbox != me {
		t.Fatalf("%+v, %v", out, err)
	}
	if got := told(); len(got) != 1 || got[0] != refresh.Reveal() {
		t.Errorf("told %d times", len(got))
	}
	r.want(ErrBadLogin, "there is no mailbox")
	if _, err := r.Remove(t.Context(), me, Removal{}); !errors.Is(err, store.ErrNoMailbox) {
		t.Errorf("removed twice: %v", err)
	}
}

// TestRemoveAndConnectedAgain: a connection during a removal comes after it, and is
// kept.
func TestRemoveAndConnectedAgain(t *testing.T) {
	r := newRig(t)
	connected := make(chan error, 1)
	token := &oauth.Token{Access: "ya29.new", Refresh: r.endpoint.Grant()}
	r.provider.RevokeURL = r.endpoint.URL + "/revoke"
	begun := make(chan struct{}, 8)
	r.Vault.store = &announcing{r.Vault.store, begun}
	r.endpoint.Does(func(w http.ResponseWriter, q *http.Request) bool {
		<-begun // of the removal itself
		go func() {
			connected <- r.Connect(context.Background(), Connection{Mailbox: me, Provider: "fake", Token: token})
		}()
		<-begun // it waits for the lock that the removal holds
		return true
	})
	if _, err := r.Remove(t.Context(), me, Removal{}); err != nil {
		t.Fatal(err)
	}
	if err := <-connected; err != nil {
		t.Fatal(err)
	}
	if got := r.account().Token.Refresh; got != token.Refresh {
		t.Error("the new grant is not kept")
	}
}

// announcing is a store that says when an Update begins, which may have to wait
// for the lock.
type announcing struct {
	store.Store
	begun chan struct{}
}

func (s *announcing) Update(ctx context.Context, mailbox string, edit func(*store.Account) error) error {
	s.begun <- struct{}{}
	return s.Store.Update(ctx, mailbox, edit)
}

func TestRemoveKeepsTheGrant(t *testing.T) {
	r := newRig(t)
	told := r.revocations()
	out, err := r.Remove(t.Context(), me, Removal{KeepGrant: true})
	if err != nil || out.Revoked || out.Left != nil || len(told()) != 0 {
		t.Errorf("%+v, %v, told %d", out, err, len(told()))
	}
}

// TestRemoveWithoutTheProvider: the mailbox is removed all the same, with a note
// about what is left at the provider.
func TestRemoveWithoutTheProvider(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(r *rig)
		says  string
	}{
		"no place to tell": {func(r *rig) {}, ""},
		"nobody listens":   {func(r *rig) { r.provider.RevokeURL = "http://" + testport.Refused(t) + "/CANARY" }, "cannot be reached"},
		"an outage":        {func(r *rig) { r.provider.RevokeURL = r.endpoint.URL; r.endpoint.Answers(503, "1//refresh-CANARY-1") }, "503"},
		"a refusal": {func(r *rig) {
			r.provider.RevokeURL = r.endpoint.URL
			r.endpoint.Answers(401, `{"error":"invalid_client"}`)
		}, "invalid_client"},
		"no such provider":  {func(r *rig) { r.Configure(Settings{}) }, "no longer configured"},
		"an unreadable one": {func(r *rig) { os.WriteFile(r.file("you@gmail.com"), []byte("x"), 0o600) }, "another mailbox may use it"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			c.spoil(r)
			out, err := r.Remove(t.Context(), me, Removal{})
			if err != nil || out.Revoked || out.Left == nil || !strings.Contains(out.Left.Error(), c.says) {
				t.Fatalf("%+v, %v", out, err)
			}
			r.checkText("what is left", out.Left.Error())
			if _, err := r.files.Get(t.Context(), me); !errors.Is(err, store.ErrNoMailbox) {
				t.Errorf("it is still there: %v", err)
			}
			os.Remove(r.file("you@gmail.com"))
		})
	}
}

// TestRemoveDoesNotTakeAnothersGrant: a grant is not revoked if another mailbox uses
// it, or would lose its own with it.
func TestRemoveDoesNotTakeAnothersGrant(t *testing.T) {
	for name, c := range map[string]struct {
		other Connection
		taken bool
	}{
		"the same grant":              {Connection{Mailbox: "shared@gmail.com", Provider: "fake"}, false},
		"the same person":             {Connection{Mailbox: "shared@gmail.com", SignIn: "me@gmail.com", Provider: "fake", Token: &oauth.Token{Refresh: "r2"}}, false},
		"the same person and project": {Connection{Mailbox: "shared@gmail.com", SignIn: me, Provider: "second", Token: &oauth.Token{Refresh: "r2"}}, false},
		"the same person, elsewhere":  {Connection{Mailbox: "shared@gmail.com", SignIn: me, Provider: "third", Token: &oauth.Token{Refresh: "r2"}}, true},
		"another person":              {Connection{Mailbox: "shared@gmail.com", SignIn: "you@gmail.com", Provider: "fake", Token: &oauth.Token{Refresh: "r2"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			told := r.revocations()
			second, third := *r.provider, *r.provider
			third.ClientID = "another"
			r.Configure(Settings{Providers: map[string]*oauth.Provider{"fake": r.provider, "second": &second, "third": &third}})
			if c.other.Token == nil {
				c.other.Token = &oauth.Token{Refresh: r.account().Token.Refresh}
			}
			c.other.Token.Access = "a2"
			if err := r.Connect(t.Context(), c.other); err != nil {
				t.Fatal(err)
			}
			out, err := r.Remove(t.Context(), me, Removal{})
			if err != nil || out.Revoked != c.taken || (out.Left == nil) != c.taken || len(told()) == 0 == c.taken {
				t.Fatalf("%+v, %v, told %d times", out, err, len(told()))
			}
			if !c.taken && !strings.Contains(out.Left.Error(), "shared@gmail.com") {
				t.Errorf("%v", out.Left)
			}
		})
	}
}

// TestRemoveKeepsPasswords: the right password is never called wrong, sessions
// end, and connecting again is enough.
func TestRemoveKeepsPasswords(t *testing.T) {
	r := newRig(t)
	r.revocations()
	g := r.mustAuthorize()
	out, err := r.Remove(t.Context(), me, Removal{KeepPasswords: true})
	if err != nil || out.Passwords != 1 || !out.Revoked {
		t.Fatalf("%+v, %v", out, err)
	}
	if !r.Revoked(t.Context(), g) {
		t.Error("a session of a removed mailbox goes on")
	}
	r.wantState(store.StateDisconnected)
	r.want(oauth.ErrNeedsConsent, "authferry connect "+me)
	if advice, ok := r.Advice(r.account()); !ok || advice.Fix != "run authferry connect "+me {
		t.Errorf("%+v", advice)
	}
	if at, _ := r.NeedsPerson(r.account()); !at.IsZero() {
		t.Error("somebody is said to be needed for what was done on purpose")
	}
	l := r.login()
	l.Password = "not the password"
	if _, err := r.Authorize(t.Context(), l); !errors.Is(err, ErrBadLogin) || strings.Contains(err.Error(), "no mailbox") {
		t.Errorf("%v", err)
	}
	a := r.account()
	if !a.Token.Access.Empty() || !a.Token.Refresh.Empty() || a.Provider != "" || a.Created.IsZero() || !a.Connected.IsZero() {
		t.Errorf("what is kept: %+v", *a)
	}
	if _, err := r.Refresh(t.Context(), me); !errors.Is(err, oauth.ErrNeedsConsent) {
		t.Errorf("Refresh: %v", err)
	}
	second, err := r.AddPassword(t.Context(), me, PasswordSpec{Name: "second"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.RevokePassword(t.Context(), me, "Livespace"); err != nil {
		t.Fatal(err)
	}
	r.connect()
	r.want(ErrBadLogin, "wrong password")
	r.password = second
	r.mustAuthorize()
	// Without passwords nothing is kept, and a disconnected mailbox can be removed.
	r.RevokePassword(t.Context(), me, "second")
	if out, err := r.Remove(t.Context(), me, Removal{KeepPasswords: true}); err != nil || out.Passwords != 0 {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := r.files.Get(t.Context(), me); !errors.Is(err, store.ErrNoMailbox) {
		t.Errorf("an empty shell stays: %v", err)
	}
}

func TestRemoveDamaged(t *testing.T) {
	r := newRig(t)
	path := r.file(me)
	if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Remove(t.Context(), me, Removal{KeepPasswords: true}); err == nil || errors.Is(err, store.ErrNoMailbox) {
		t.Errorf("its passwords are said to be kept: %v", err)
	}
	out, err := r.Remove(t.Context(), me, Removal{})
	if err != nil || out.Left == nil {
		t.Fatalf("%+v, %v", out, err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Error("it is still there")
	}
}

// TestRemoveOnAFullDisk: a removal needs no room; an error says what was done and
// what was not.
func TestRemoveOnAFullDisk(t *testing.T) {
	r := newRig(t)
	r.revocations()
	whole := atomicfile.Disk
	defer func() { atomicfile.Disk = whole }()
	atomicfile.Disk.Write = func(*os.File, []byte) (int, error) { return 0, syscall.ENOSPC }
	if _, err := r.Remove(t.Context(), me, Removal{KeepPasswords: true}); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "revoked the grant") {
		t.Errorf("%v", err)
	}
	if a := r.account(); a.Provider == "" {
		t.Error("half a removal")
	}
	if _, err := r.Remove(t.Context(), me, Removal{}); err != nil {
		t.Error(err)
	}
}

// TestRemoveTakesTheNewestToken: a token that the store did not take is the one that
// is revoked.
func TestRemoveTakesTheNewestToken(t *testing.T) {
	r := newRig(t)
	r.endpoint.Rotate = true
	whole := atomicfile.Disk
	defer func() { atomicfile.Disk = whole }()
	atomicfile.Disk.Write = func(*os.File, []byte) (int, error) { return 0, syscall.ENOSPC }
	r.want(oauth.ErrUnavailable, "no space left")
	var newest secret.String
	r.refresher.withState(me, func(s *mailboxState) { newest = s.unsaved.token.Refresh })
	atomicfile.Disk = whole
	told := r.revocations()
	if _, err := r.Remove(t.Context(), me, Removal{}); err != nil {
		t.Fatal(err)
	}
	if got := told(); len(got) != 1 || got[0] != newest.Reveal() {
		t.Error("an old token was revoked")
	}
}

// TestProject: Google revokes what was granted to a project, by any of its clients.
func TestProject(t *testing.T) {
	if project("123-a.apps.googleusercontent.com") != project("123-b.apps.googleusercontent.com") || project("1-a") == project("1-b") {
		t.Error("projects are not told apart")
	}
}
