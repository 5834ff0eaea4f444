package onboard

import (
	"context"
	"errors"
	"net"
	"strconv"
	"testing"

	"go.uber.org/zap"

	"authferry/demo"
	"authferry/internal/secret"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

const (
	me     = "me@gmail.com"
	other  = "other@gmail.com"
	shared = "shared@gmail.com"
)

// start returns a simulated Gmail, its provider and an empty vault.
func start(t *testing.T) (*demo.Provider, *oauth.Provider, *tokens.Vault) {
	t.Helper()
	gmail, err := demo.Start(demo.Options{Mailboxes: []string{me, other}, Shared: map[string][]string{shared: {me}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { gmail.Close() })
	p := oauth.Builtin()["gmail"]
	p.AuthURL, p.TokenURL, p.UserInfoURL, p.Issuer = gmail.AuthURL, gmail.TokenURL, gmail.UserInfoURL, ""
	p.ClientID, p.ClientSecret, p.RootCAs = gmail.ClientID, secret.String(gmail.ClientSecret), gmail.CAs
	host, port, _ := net.SplitHostPort(gmail.IMAP)
	n, _ := strconv.Atoi(port)
	p.IMAP = oauth.Endpoint{Host: host, Port: n}
	dir := t.TempDir()
	seal, err := store.LoadSeal("", dir)
	if err != nil {
		t.Fatal(err)
	}
	files, err := store.OpenFiles(dir, seal)
	if err != nil {
		t.Fatal(err)
	}
	vault := tokens.NewVault(files, tokens.Settings{Providers: map[string]*oauth.Provider{"gmail": p}}, zap.NewNop())
	t.Cleanup(func() { vault.Close(context.Background()) })
	return gmail, p, vault
}

// signIn returns the grant that an account gives.
func signIn(t *testing.T, gmail *demo.Provider, p *oauth.Provider, account string) *oauth.Token {
	t.Helper()
	c, err := p.NewConsent("http://127.0.0.1:34567", account)
	if err != nil {
		t.Fatal(err)
	}
	redirected, err := gmail.Consent(c.URL, account)
	if err != nil {
		t.Fatal(err)
	}
	token, err := c.Finish(t.Context(), redirected)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestConnect: a grant is kept only after the check and the proof, and a refusal
// has its cause.
func TestConnect(t *testing.T) {
	t.Parallel()
	errNo := errors.New("no")
	for _, test := range []struct {
		name    string
		account string // that signs in
		grant   Grant  // without a token
		options Options
		prepare func(*demo.Provider, *oauth.Provider)
		cause   Cause
		err     error
		kept    bool
	}{
		{name: "good", account: me, grant: Grant{Mailbox: me}, kept: true},
		{name: "the mailbox is the account's", account: me, kept: true},
		{name: "shared", account: me, grant: Grant{Mailbox: shared, SignIn: me}, kept: true},
		{name: "another account", account: other, grant: Grant{Mailbox: me}, cause: WrongAccount},
		{name: "no access to the shared mailbox", account: other, grant: Grant{Mailbox: shared, SignIn: other}, cause: NotDelegated},
		{name: "scopes", account: me, grant: Grant{Mailbox: me}, cause: MissingScopes,
			prepare: func(g *demo.Provider, _ *oauth.Provider) {
				g.Faults.GrantScopes("https://www.googleapis.com/auth/gmail.send")
			}},
		{name: "IMAP off", account: me, grant: Grant{Mailbox: me}, cause: ProtocolOff,
			prepare: func(g *demo.Provider, _ *oauth.Provider) { g.Faults.Mail("imap", demo.MailDisabled) }},
		{name: "account not said", account: other, grant: Grant{Mailbox: me}, cause: Refused,
			prepare: func(_ *demo.Provider, p *oauth.Provider) { p.UserInfoURL = "" }},
		{name: "mailbox not said", account: me, cause: UnknownAccount,
			prepare: func(_ *demo.Provider, p *oauth.Provider) { p.UserInfoURL = "" }},
		{name: "unreachable", account: me, grant: Grant{Mailbox: me}, cause: Unproven,
			prepare: func(g *demo.Provider, _ *oauth.Provider) { g.Faults.Mail("imap", demo.MailCut) }},
		{name: "unreachable, kept", account: me, grant: Grant{Mailbox: me}, options: Options{KeepUnproven: true}, kept: true,
			prepare: func(g *demo.Provider, _ *oauth.Provider) { g.Faults.Mail("imap", demo.MailCut) }},
		{name: "not admitted", account: me, options: Options{Admit: func(string) error { return errNo }}, err: errNo},
		{name: "stopped before the write", account: me, grant: Grant{Mailbox: me}, options: Options{BeforeKeep: func(string) error { return errNo }}, err: errNo},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			gmail, p, vault := start(t)
			if test.prepare != nil {
				test.prepare(gmail, p)
			}
			g := test.grant
			g.Provider, g.Token = p, signIn(t, gmail, p, test.account)
			done, err := Connect(t.Context(), vault, g, test.options)
			e, _ := errors.AsType[*Error](err)
			switch {
			case test.kept && (err != nil || done.Mailbox == "" || (done.Unproven != nil) != test.options.KeepUnproven):
				t.Errorf("%+v, %v", done, err)
			case test.cause != "" && (e == nil || e.Cause != test.cause || e.Kept):
				t.Errorf("%v, want the cause %s", err, test.cause)
			case test.err != nil && err != test.err:
				t.Errorf("%v, want %v", err, test.err)
			}
			names, err := vault.Mailboxes(t.Context())
			if err != nil || (len(names) == 1) != test.kept {
				t.Errorf("in the vault: %v, %v", names, err)
			}
		})
	}
}

// TestConnectRenewed: the only copy of a grant is kept whatever the proof says,
// unless it is another account's or the mailbox has a live grant.
func TestConnectRenewed(t *testing.T) {
	t.Parallel()
	gmail, p, vault := start(t)
	connect := func(account string) error {
		_, err := Connect(t.Context(), vault, Grant{Mailbox: me, Provider: p, Token: signIn(t, gmail, p, account), Renewed: true}, Options{})
		return err
	}
	refreshToken := func() secret.String {
		a, err := vault.Account(t.Context(), me)
		if errors.Is(err, store.ErrNoMailbox) {
			return ""
		}
		if err != nil {
			t.Fatal(err)
		}
		return a.Token.Refresh
	}
	if e, ok := errors.AsType[*Error](connect(other)); !ok || e.Cause != WrongAccount || e.Kept || !refreshToken().Empty() {
		t.Errorf("another account's: %+v", e)
	}
	gmail.Faults.Mail("imap", demo.MailRefuse)
	if e, ok := errors.AsType[*Error](connect(me)); !ok || !e.Kept || refreshToken().Empty() {
		t.Errorf("a refused login: %+v", e)
	}
	first := refreshToken()
	if e, ok := errors.AsType[*Error](connect(me)); !ok || e.Kept || refreshToken() != first {
		t.Errorf("in place of a live grant: %+v", e)
	}
	gmail.Faults.Mail("imap", demo.MailNormal)
	if err := connect(me); err != nil || refreshToken() == first {
		t.Errorf("a good grant: %v", err)
	}
}

// TestConnectInterrupted: a cancelled proof keeps no grant, even where unproven
// grants are kept.
func TestConnectInterrupted(t *testing.T) {
	t.Parallel()
	gmail, p, vault := start(t)
	g := Grant{Mailbox: me, Provider: p, Token: signIn(t, gmail, p, me)}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Connect(ctx, vault, g, Options{KeepUnproven: true})
	if e, ok := errors.AsType[*Error](err); !ok || e.Cause != Unproven {
		t.Errorf("%v", err)
	}
	if names, err := vault.Mailboxes(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("in the vault: %v, %v", names, err)
	}
}
