package check

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"authferry/demo"
	"authferry/internal/secret"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	me  = "me@gmail.com"
	you = "you@gmail.com"
)

// fixture is a simulated Gmail and a store of mailboxes connected to it.
type fixture struct {
	t        *testing.T
	gmail    *demo.Provider
	provider *oauth.Provider
	vault    *tokens.Vault
	subject  Subject
}

func newFixture(t *testing.T, o demo.Options, mailboxes ...string) *fixture {
	t.Helper()
	o.Mailboxes = []string{me, you}
	gmail, err := demo.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { gmail.Close() })
	c := &fixture{t: t, gmail: gmail, provider: oauth.Builtin()["gmail"]}
	p := c.provider
	p.AuthURL, p.TokenURL, p.Issuer, p.RootCAs = gmail.AuthURL, gmail.TokenURL, "", gmail.CAs
	p.ClientID, p.ClientSecret = gmail.ClientID, secret.String(gmail.ClientSecret)
	p.IMAP, p.POP3, p.SMTP = endpointAt(gmail.IMAP), endpointAt(gmail.POP3), endpointAt(gmail.SMTP)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	c.subject = Subject{
		Config: "config.toml", Store: dir, Providers: map[string]*oauth.Provider{"gmail": p},
		Open: c.open,
	}
	for _, mailbox := range mailboxes {
		c.connect(mailbox)
	}
	return c
}

func endpointAt(address string) oauth.Endpoint {
	host, port, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(port)
	return oauth.Endpoint{Host: host, Port: n}
}

// open opens the store, once.
func (c *fixture) open() (*tokens.Vault, error) {
	if c.vault != nil {
		return c.vault, nil
	}
	store, err := c.store()
	if err != nil {
		return nil, err
	}
	vault := tokens.NewVault(store, tokens.Settings{Providers: c.subject.Providers}, zap.NewNop())
	c.vault = vault
	c.t.Cleanup(func() {
		if err := vault.Close(context.Background()); err != nil {
			c.t.Error(err)
		}
	})
	return c.vault, nil
}

func (c *fixture) store() (*store.Files, error) {
	seal, err := store.LoadSeal(c.subject.Seal, c.subject.Store)
	if err != nil {
		return nil, err
	}
	return store.OpenFiles(c.subject.Store, seal)
}

// connect connects a mailbox as its owner does.
func (c *fixture) connect(mailbox string) {
	c.t.Helper()
	const redirect = "http://127.0.0.1:1/"
	consent, err := c.provider.NewConsent(redirect, mailbox)
	if err != nil {
		c.t.Fatal(err)
	}
	redirected, err := c.gmail.Consent(consent.URL, mailbox)
	if err != nil {
		c.t.Fatal(err)
	}
	token, err := consent.Finish(c.t.Context(), redirected)
	if err != nil {
		c.t.Fatal(err)
	}
	vault, err := c.open()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := vault.Connect(c.t.Context(), tokens.Connection{Mailbox: mailbox, Provider: "gmail", Token: token}); err != nil {
		c.t.Fatal(err)
	}
}

// edit changes the account of a mailbox.
func (c *fixture) edit(mailbox string, change func(*store.Account)) {
	c.t.Helper()
	kept, err := c.store()
	if err != nil {
		c.t.Fatal(err)
	}
	err = kept.Update(c.t.Context(), mailbox, func(a *store.Account) error { change(a); return nil })
	if err != nil {
		c.t.Fatal(err)
	}
}

// report holds the steps of a check.
type report struct {
	t       *testing.T
	steps   []Step
	healthy bool
}

func (c *fixture) check(mailboxes ...string) *report {
	c.t.Helper()
	r := &report{t: c.t}
	s := c.subject
	s.Mailboxes = mailboxes
	r.healthy = Run(c.t.Context(), s, func(step Step) { r.steps = append(r.steps, step) })
	for _, step := range r.steps {
		if (step.Result == Fail) != (step.Fix != "") {
			c.t.Errorf("%s: a failure has a fix, and nothing else has: %+v", step.Name, step)
		}
		if step.Detail == "" {
			c.t.Errorf("%s says nothing", step.Name)
		}
	}
	return r
}

// get returns a step by mailbox ("": none) and name.
func (r *report) get(mailbox, name string) Step {
	r.t.Helper()
	i := slices.IndexFunc(r.steps, func(s Step) bool { return s.Mailbox == mailbox && s.Name == name })
	if i < 0 {
		r.t.Fatalf("no step %q of %q among\n%s", name, mailbox, r)
	}
	return r.steps[i]
}

// want checks a step's result, and that its texts contain words.
func (r *report) want(mailbox, name string, result Result, words ...string) {
	r.t.Helper()
	s := r.get(mailbox, name)
	if s.Result != result {
		r.t.Errorf("%s: %s instead of %s: %s", name, s.Result, result, s.Detail)
	}
	for _, w := range words {
		if !strings.Contains(s.Detail+"\n"+s.Fix+"\n"+s.Page, w) {
			r.t.Errorf("%s does not say %q: %+v", name, w, s)
		}
	}
}

// onlyFailures checks that exactly these failed, as "mailbox name" or "name".
func (r *report) onlyFailures(want ...string) {
	r.t.Helper()
	var got []string
	for _, s := range r.steps {
		if s.Result == Fail {
			got = append(got, strings.TrimSpace(s.Mailbox+" "+s.Name))
		}
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("failed: %q, want %q\n%s", got, want, r)
	}
	if r.healthy != (len(want) == 0) {
		r.t.Errorf("healthy: %t", r.healthy)
	}
}

func (r *report) String() string {
	var b strings.Builder
	for _, s := range r.steps {
		fmt.Fprintf(&b, "%s %s %s: %s (%s)\n", s.Result, s.Mailbox, s.Name, s.Detail, s.Fix)
	}
	return b.String()
}

func names(steps []Step) (names []string) {
	for _, s := range steps {
		names = append(names, s.Name)
	}
	return names
}

// without removes protocols from the provider.
func (c *fixture) without(protocols ...string) {
	for p, e := range maps.All(map[string]*oauth.Endpoint{"imap": &c.provider.IMAP, "pop3": &c.provider.POP3, "smtp": &c.provider.SMTP}) {
		if slices.Contains(protocols, p) {
			*e = oauth.Endpoint{}
		}
	}
}
