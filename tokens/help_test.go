package tokens

import (
	"context"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"authferry/internal/secret"
	"authferry/tokens/oauth"
	"authferry/tokens/oauth/oauthtest"
	"authferry/tokens/store"
)

const me = "me@gmail.com"

var here = netip.MustParseAddr("192.0.2.1")

// rig is a vault over a new file store and a fake token endpoint, with one connected
// mailbox and one password.
type rig struct {
	*Vault
	t        testing.TB
	endpoint *oauthtest.Endpoint
	provider *oauth.Provider
	files    *store.Files
	dir      string
	password secret.String
	logs     *observer.ObservedLogs
	clock    *oauthtest.Clock
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, endpoint: oauthtest.NewEndpoint(t), dir: t.TempDir(), clock: &oauthtest.Clock{}}
	r.provider = fakeProvider(r.endpoint)
	r.files = openStore(t, r.dir)
	core, logs := observer.New(zapcore.DebugLevel)
	r.logs = logs
	r.Vault = NewVault(r.files, Settings{
		Providers: map[string]*oauth.Provider{"fake": r.provider},
		Aliases:   map[string]string{"Scanner": me},
	}, zap.New(core))
	r.Vault.now, r.keepAlive.pause = r.clock.Now, 0
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
		r.checkLogs()
	})
	r.connect()
	password, err := r.AddPassword(context.Background(), me, PasswordSpec{Name: "Livespace"})
	if err != nil {
		t.Fatal(err)
	}
	r.password = password
	return r
}

func openStore(t testing.TB, dir string) *store.Files {
	t.Helper()
	seal, err := store.LoadSeal("", dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.OpenFiles(dir, seal)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// connect gives the mailbox a grant whose access token has just expired.
func (r *rig) connect() {
	r.t.Helper()
	now := time.Now()
	err := r.Connect(context.Background(), Connection{Mailbox: me, Provider: "fake", Token: &oauth.Token{
		Access: "ya29.stale-CANARY", Refresh: r.endpoint.Grant(), Minted: now.Add(-time.Hour), Expiry: now,
	}})
	if err != nil {
		r.t.Fatal(err)
	}
}

// age sets how much of its hour the stored access token has left.
func (r *rig) age(left time.Duration) {
	r.t.Helper()
	err := r.files.Update(context.Background(), me, func(a *store.Account) error {
		a.Token.Expiry = r.clock.Now().Add(left)
		a.Token.Minted = a.Token.Expiry.Add(-time.Hour)
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) login() Login {
	return Login{User: me, Password: r.password, Protocol: "imap", From: here}
}

func (r *rig) authorize() (*Grant, error) {
	g, err := r.Authorize(context.Background(), r.login())
	if err != nil {
		r.checkText("an error", err.Error())
	}
	return g, err
}

// checkText fails the test if our text reveals a secret. All secrets of the fake
// endpoint contain the word CANARY.
func (r *rig) checkText(what, text string) {
	r.t.Helper()
	if strings.Contains(text, "CANARY") || strings.Contains(text, r.password.Reveal()) {
		r.t.Errorf("%s tells a secret: %s", what, text)
	}
}

// checkLogs does the same for the log.
func (r *rig) checkLogs() {
	r.t.Helper()
	encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "message"})
	for _, entry := range r.logs.All() {
		line, err := encoder.EncodeEntry(entry.Entry, entry.Context)
		if err != nil {
			r.t.Error(err)
			continue
		}
		r.checkText("a log line", line.String())
	}
}

// mustAuthorize logs in and uses the token, as a session does.
func (r *rig) mustAuthorize() *Grant {
	r.t.Helper()
	g, err := r.authorize()
	if err != nil {
		r.t.Fatalf("Authorize: %v", err)
	}
	return g
}

// mailboxes is the directory of the sealed files.
func (r *rig) mailboxes() string { return filepath.Join(r.dir, "mailboxes") }

// file is the sealed file of a mailbox.
func (r *rig) file(mailbox string) string { return filepath.Join(r.mailboxes(), mailbox+".age") }

// account returns the mailbox as stored.
func (r *rig) account() *store.Account {
	r.t.Helper()
	a, err := r.files.Get(context.Background(), me)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range []*store.Failure{a.Dead, a.Trouble} {
		if f != nil {
			r.checkText("a reason", f.Reason)
		}
	}
	return a
}
