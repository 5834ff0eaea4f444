package alert

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"authferry/internal/secret"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// rig is a watcher over a store of its own.
type rig struct {
	*Watcher
	t     *testing.T
	dir   string
	store *store.Files
	logs  *observer.ObservedLogs
	at    time.Time
}

const canary = "ya29.CANARY"

func newRig(t *testing.T, c Config, p *oauth.Provider) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), at: day}
	seal, err := store.LoadSeal("", r.dir)
	if err != nil {
		t.Fatal(err)
	}
	if r.store, err = store.OpenFiles(r.dir, seal); err != nil {
		t.Fatal(err)
	}
	r.start(c, p)
	return r
}

// start makes a new watcher over the same store, as a restart does.
func (r *rig) start(c Config, p *oauth.Provider) {
	core, logs := observer.New(zapcore.DebugLevel)
	r.logs = logs
	providers := map[string]*oauth.Provider{p.Name: p}
	vault := tokens.NewVault(r.store, tokens.Settings{Providers: providers}, zap.NewNop())
	r.Watcher = NewWatcher(Options{
		Vault: vault, Providers: func() map[string]*oauth.Provider { return providers },
		Dir: r.dir, Host: "ferry", Log: zap.New(core), Config: c,
	})
	r.now = func() time.Time { return r.at }
	r.pause = func(context.Context, time.Duration) error { return nil }
	r.t.Cleanup(func() {
		r.lock.Close()
		if err := vault.Close(context.Background()); err != nil {
			r.t.Error(err)
		}
	})
}

func (r *rig) edit(mailbox string, edit func(*store.Account)) {
	r.t.Helper()
	err := r.store.Update(r.t.Context(), mailbox, func(a *store.Account) error {
		if a.Provider == "" {
			a.Provider, a.Token = "gmail", oauth.Token{Access: canary, Refresh: "1//CANARY", Expiry: day.AddDate(9, 0, 0)}
		}
		edit(a)
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func well(a *store.Account) { a.Dead, a.Trouble = nil, nil }

func dead(a *store.Account) {
	a.Dead = &store.Failure{At: day, Since: day, Reason: "the grant was revoked", Cause: oauth.CauseRevoked, Count: 1}
}

// logged counts log lines by message, and fails if one tells a secret.
func (r *rig) logged(message string) (n int) {
	r.t.Helper()
	for _, e := range r.logs.All() {
		if e.Message == message {
			n++
		}
		if line := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(line, "CANARY") {
			r.t.Errorf("a secret is in the log: %s", line)
		}
	}
	return n
}

var gmail = &oauth.Provider{Name: "gmail"}

// TestWatch: one alert, in the log and by the hook; none after a restart; one message
// of recovery; and a removed mailbox leaves the ledger. The store does not change.
func TestWatch(t *testing.T) {
	var posts []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		posts = append(posts, string(body))
	}))
	defer server.Close()
	c := Config{Webhook: secret.String(server.URL + "/CANARY")}
	r := newRig(t, c, gmail)
	r.edit("a@x.org", dead)
	r.edit("b@x.org", well)
	r.look(t.Context())
	r.look(t.Context())
	if n := r.logged("grant needs a person"); n != 1 || len(posts) != 1 || !strings.Contains(posts[0], `"mailbox":"a@x.org"`) {
		t.Fatalf("%d lines, posts %v", n, posts)
	}
	if s := r.Snapshot(); s.Sent[hookWebhook] != 1 || s.Conditions[GrantEnded] != 1 || len(s.UntilPerson) != 1 || s.UntilPerson["a@x.org"] != 0 {
		t.Errorf("%+v", s)
	}
	r.lock.Close()
	r.start(c, gmail)
	r.at = day.Add(time.Hour)
	r.look(t.Context())
	if n := r.logged("grant needs a person"); n != 0 || len(posts) != 1 {
		t.Errorf("said again after a restart: %d lines, posts %v", n, posts)
	}
	r.edit("a@x.org", well)
	r.look(t.Context())
	r.look(t.Context())
	if n := r.logged("mailbox recovered"); n != 1 || len(posts) != 2 || !strings.Contains(posts[1], `"event":"recovered"`) {
		t.Errorf("%d lines, posts %v", n, posts)
	}
	r.edit("b@x.org", dead)
	r.at = r.at.Add(2 * time.Hour)
	r.look(t.Context())
	if err := r.store.Delete(t.Context(), "b@x.org"); err != nil {
		t.Fatal(err)
	}
	r.look(t.Context())
	if n := r.logged("mailbox recovered"); n != 1 {
		t.Error("a removed mailbox has recovered")
	}
	if names, err := r.store.Mailboxes(t.Context()); err != nil || len(names) != 1 || names[0] != "a@x.org" {
		t.Errorf("the store lists %v %v", names, err)
	}
	if data, err := os.ReadFile(ledgerFile(r.dir)); err != nil || bytes.Contains(data, []byte("CANARY")) {
		t.Errorf("%s %v", data, err)
	}
}

// TestOneSpeaks: of two servers on one store one speaks, and the other one
// when the first is gone.
func TestOneSpeaks(t *testing.T) {
	r := newRig(t, Config{}, gmail)
	r.edit("a@x.org", dead)
	r.look(t.Context())
	first := r.Watcher
	r.start(Config{}, gmail)
	r.edit("b@x.org", dead)
	r.at = day.Add(time.Hour)
	r.look(t.Context())
	if n := r.logged("grant needs a person"); n != 0 {
		t.Fatalf("both speak: %d", n)
	}
	first.lock.Close()
	r.look(t.Context())
	if n := r.logged("grant needs a person"); n == 0 {
		t.Error("nobody speaks")
	}
}

// TestHookFails: a failing hook is logged once while it fails, counted, tried
// again, and keeps no other hook from its message.
func TestHookFails(t *testing.T) {
	down := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down {
			http.Error(w, r.URL.Path, http.StatusBadGateway)
		}
	}))
	defer server.Close()
	out := filepath.Join(t.TempDir(), "out")
	r := newRig(t, Config{Webhook: secret.String(server.URL + "/CANARY"), Command: []string{os.Args[0], "play", "record", out}}, gmail)
	r.edit("a@x.org", dead)
	for range 5 {
		r.look(t.Context())
		r.at = r.at.Add(time.Hour)
	}
	if n := r.logged("alert not delivered"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	if s := r.Snapshot(); s.Failed[hookWebhook] < 3 || s.Sent[hookCommand] != 1 || s.Sent[hookWebhook] != 0 {
		t.Errorf("%+v", s)
	}
	down = false
	r.look(t.Context())
	r.at = r.at.Add(time.Hour)
	r.look(t.Context())
	if s := r.Snapshot(); s.Sent[hookWebhook] != 1 || s.Sent[hookCommand] != 1 {
		t.Errorf("%+v", s)
	}
	if n := r.logged("grant needs a person"); n != 1 {
		t.Errorf("the log has it %d times", n)
	}
}

// TestHalfMinutes: a grant that dies while serving is said within half a
// minute, and one look is taken at once.
func TestHalfMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, gmail)
		r.now = time.Now
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.Run(ctx)
		}()
		synctest.Wait()
		r.edit("a@x.org", dead)
		time.Sleep(every)
		synctest.Wait()
		if n := r.logged("grant needs a person"); n != 1 {
			t.Errorf("said %d times", n)
		}
		time.Sleep(DefaultRemind + time.Hour)
		synctest.Wait()
		if n := r.logged("grant needs a person"); n != 2 {
			t.Errorf("after a day: said %d times", n)
		}
		cancel()
		<-done
	})
}
