package tokens

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

const colleague = "colleague@example.com"

// workspace adds a provider that opens example.com by itself.
func (r *rig) workspace() *oauth.Provider {
	p := *r.provider
	p.Name, p.Flow = "workspace", oauth.FlowClientCredentials
	r.Configure(Settings{
		Providers: map[string]*oauth.Provider{"fake": r.provider, "workspace": &p},
		Domains:   map[string]string{"example.com": "workspace", "gmail.com": "fake", "gone.example": "nowhere"},
	})
	r.endpoint.Does(answersApplications)
	return &p
}

func answersApplications(w http.ResponseWriter, q *http.Request) bool {
	q.ParseForm()
	if q.PostForm.Get("grant_type") != "client_credentials" {
		return false
	}
	w.Write([]byte(`{"access_token":"app-CANARY","expires_in":3599}`))
	return true
}

// TestEnrol: a password that an administrator adds enrols a mailbox of a domain; a
// login never does, and makes no call for a token.
func TestEnrol(t *testing.T) {
	r := newRig(t)
	r.workspace()
	l := Login{User: colleague, Password: r.password, Protocol: "imap", From: here}
	if _, err := r.Authorize(t.Context(), l); !errors.Is(err, ErrBadLogin) {
		t.Fatalf("a login for nobody's mailbox: %v", err)
	}
	if _, err := r.files.Get(t.Context(), colleague); !errors.Is(err, store.ErrNoMailbox) {
		t.Fatalf("a login enrols: %v", err)
	}
	r.wantCalls(0)
	password, err := r.AddPassword(t.Context(), "Colleague@Example.com", PasswordSpec{Name: "CRM"})
	if err != nil {
		t.Fatal(err)
	}
	r.wantCalls(0)
	a, err := r.Account(t.Context(), colleague)
	if err != nil || a.Provider != "workspace" || !a.Connected.IsZero() || r.State(a) != store.StateStale {
		t.Fatalf("%v, %v", a, err)
	}
	l.Password = password
	g, err := r.Authorize(t.Context(), l)
	if err != nil || g.AccessToken != "app-CANARY" || g.Provider.Name != "workspace" {
		t.Fatalf("%v, %v", g, err)
	}
	r.keepAlive.checkAll(t.Context())
	r.wantCalls(1)
	// Its removal makes no call: there is no grant to revoke.
	if out, err := r.Remove(t.Context(), colleague, Removal{}); err != nil || out.Revoked || out.Left != nil {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestEnrolRefuses(t *testing.T) {
	r := newRig(t)
	r.workspace()
	for mailbox, says := range map[string]string{
		"stranger@other.example": "no such mailbox",
		"you@gmail.com":          "its flow needs a person",
		"me@gone.example":        "not configured",
		"@example.com":           "not a mail address",
		"a b@example.com":        "character",
	} {
		_, err := r.AddPassword(t.Context(), mailbox, PasswordSpec{Name: "CRM"})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", mailbox, err, says)
		}
		if _, err := r.files.Get(t.Context(), mailbox); !errors.Is(err, store.ErrNoMailbox) {
			t.Errorf("%s is there: %v", mailbox, err)
		}
	}
}

// TestDomainTakenOut: without its domain's table an enrolled mailbox cannot be
// used; one that was connected by itself can.
func TestDomainTakenOut(t *testing.T) {
	r := newRig(t)
	p := r.workspace()
	password, err := r.AddPassword(t.Context(), colleague, PasswordSpec{Name: "CRM"})
	if err != nil {
		t.Fatal(err)
	}
	l := Login{User: colleague, Password: password, Protocol: "imap", From: here}
	if _, err := r.Authorize(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	r.Configure(Settings{Providers: map[string]*oauth.Provider{"fake": r.provider, "workspace": p}})
	if _, err := r.Authorize(t.Context(), l); !errors.Is(err, oauth.ErrRefused) || !strings.Contains(err.Error(), `[domain."example.com"]`) {
		t.Errorf("%v", err)
	}
	a, err := r.Account(t.Context(), colleague)
	if advice, ok := r.Advice(a); err != nil || !ok || !strings.Contains(advice.Fix, "[domain.") {
		t.Errorf("the command line says %+v", advice)
	}
	if err := r.Connect(t.Context(), Connection{Mailbox: colleague, Provider: "workspace"}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Authorize(t.Context(), l); err != nil {
		t.Error(err)
	}
	r.Configure(Settings{})
	if _, err := r.Authorize(t.Context(), l); !errors.Is(err, oauth.ErrRefused) || !strings.Contains(err.Error(), "add a table [provider.workspace]") {
		t.Errorf("%v", err)
	} else if _, ok := oauth.AdviceOf(err); !ok {
		t.Errorf("no advice: %v", err)
	}
}

// TestConnectWithoutAGrant: only a flow without a person allows it.
func TestConnectWithoutAGrant(t *testing.T) {
	r := newRig(t)
	r.workspace()
	if err := r.Connect(t.Context(), Connection{Mailbox: me, Provider: "fake"}); err == nil {
		t.Error("connected without a grant")
	}
	if r.account().Token.Refresh.Empty() {
		t.Error("the grant there was is lost")
	}
	if err := r.Connect(t.Context(), Connection{Mailbox: me, Provider: "workspace"}); err != nil {
		t.Fatal(err)
	}
	if g := r.mustAuthorize(); g.AccessToken != "app-CANARY" {
		t.Error("the token of the provider there was")
	}
	err := r.Connect(t.Context(), Connection{Mailbox: colleague, Provider: "workspace", Token: &oauth.Token{Access: "app2"}})
	if err != nil {
		t.Errorf("a token without a refresh token: %v", err)
	}
}

// TestConnectedElsewhereCountsAtOnce: the back-off of an old grant does not apply to
// a new one, even without refresh tokens to distinguish them.
func TestConnectedElsewhereCountsAtOnce(t *testing.T) {
	r := newRig(t)
	p := r.workspace()
	if err := r.Connect(t.Context(), Connection{Mailbox: me, Provider: "workspace"}); err != nil {
		t.Fatal(err)
	}
	r.endpoint.Answers(400, `{"error":"invalid_grant"}`)
	r.want(oauth.ErrRefused, "")
	r.endpoint.Does(answersApplications)
	cli := NewVault(openStore(t, r.dir), Settings{Providers: map[string]*oauth.Provider{"workspace": p}}, nil)
	defer cli.Close(t.Context())
	if err := cli.Connect(t.Context(), Connection{Mailbox: me, Provider: "workspace"}); err != nil {
		t.Fatal(err)
	}
	r.mustAuthorize()
}
