//go:build realmail

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authferry/demo"
)

// realMail is the way from a mail program to a mailbox: authferry, and a
// provider made of Dovecot, Postfix and the simulated OAuth service, which
// Dovecot asks about every token.
type realMail struct {
	dir       string
	oauth     *demo.Provider
	way       *way // to the token endpoint
	ports     map[string]int
	passwords map[string]string // by mailbox
	authferry *process
	lives     []*process // of authferry, this one and those before
	dovecot   *exec.Cmd

	recipients int // so far
}

// variants are the ways to log in to a provider that matter, each a provider of
// the configuration with a mailbox of its own.
var variants = []struct{ name, mechanism, imap, pop3, smtp string }{
	{"tls-xoauth2", "xoauth2", "imaps", "pop3s", "smtps"},
	{"starttls-oauthbearer", "oauthbearer", "imap", "pop3", "smtp"},
	{"tls-oauthbearer", "oauthbearer", "imaps", "pop3s", "smtps"},
	{"starttls-xoauth2", "xoauth2", "imap", "pop3", "smtp"},
}

// chosenPassword is given with --stdin; the other mailboxes' are generated.
const chosenPassword = "Correct-Horse, 42 staples!"

// startRealMail starts the provider and authferry, and connects a mailbox per
// variant by visiting the simulated consent page.
func startRealMail(t *testing.T) *realMail {
	t.Helper()
	dir, err := os.MkdirTemp("", "realmail")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	// The servers' own users have to get at their directories.
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	m := &realMail{dir: dir, ports: make(map[string]int), passwords: make(map[string]string)}
	for _, name := range []string{"imap", "imaps", "pop3", "pop3s", "smtp", "smtps", "office"} {
		m.ports["provider "+name] = freePort(t)
	}
	for _, l := range listeners {
		m.ports[l] = freePort(t)
	}
	t.Cleanup(func() { m.showLogs(t) })
	m.startOAuth(t)
	m.makeCertificate(t)
	m.startDovecot(t)
	m.writeConfig(t)
	m.startAuthferry(t)
	for i, v := range variants {
		m.connect(t, mailbox(v.name), v.name, i%2 == 1)
	}
	m.connect(t, smallMailbox, variants[0].name, false)
	m.startPostfix(t)
	return m
}

// smallMailbox has small mails only, for tests that do not depend on size.
const smallMailbox = "small@example.org"

// showLogs prints the end of every log after a failure.
func (m *realMail) showLogs(t *testing.T) {
	if !t.Failed() {
		return
	}
	for _, name := range []string{"dovecot.log", "postfix/data/postfix.log"} {
		log, _ := os.ReadFile(m.path(name))
		t.Logf("%s ends\n%s", name, tail(log))
	}
	for _, p := range m.lives {
		t.Logf("the log of authferry ends\n%s", tail(p.stderr.bytes()))
	}
}

// mailbox is the address that is connected by a variant.
func mailbox(variant string) string { return variant + "@example.org" }

// listeners are authferry's: every protocol in every security.
var listeners = []string{
	"imap plain", "imap starttls", "imap tls",
	"pop3 plain", "pop3 starttls", "pop3 tls",
	"smtp plain", "smtp starttls", "smtp tls",
}

func (m *realMail) path(elements ...string) string {
	return filepath.Join(append([]string{m.dir}, elements...)...)
}

func (m *realMail) startOAuth(t *testing.T) {
	t.Helper()
	mailboxes := []string{smallMailbox}
	for _, v := range variants {
		mailboxes = append(mailboxes, mailbox(v.name))
	}
	oauth, err := demo.Start(demo.Options{Mailboxes: mailboxes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { oauth.Close() })
	m.oauth = oauth
	m.way = openWay(t, strings.TrimPrefix(strings.TrimSuffix(oauth.TokenURL, "/token"), "http://"))
}

func (m *realMail) write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.path(name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// eventually polls until a condition outside this process is true.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func (m *realMail) writeConfig(t *testing.T) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "store = %q\nhostname = \"localhost\"\ndrain = \"2s\"\nlisten = [\n", "file:"+m.path("store"))
	for _, l := range listeners {
		protocol, security, _ := strings.Cut(l, " ")
		scheme := protocol + map[string]string{"plain": "", "starttls": "+starttls", "tls": "s"}[security]
		fmt.Fprintf(&b, "\t\"%s://127.0.0.1:%d\",\n", scheme, m.ports[l])
	}
	b.WriteString("]\n[gate]\ndelay = \"200ms\"\n[log]\nlevel = \"debug\"\nformat = \"json\"\n")
	for _, v := range variants {
		fmt.Fprintf(&b, "[provider.%s]\nauth_url = %q\ntoken_url = \"http://%s/token\"\nclient_id = %q\nclient_secret = %q\nscopes = [%q]\nmechanism = %q\n",
			v.name, m.oauth.AuthURL, m.way.address, m.oauth.ClientID, m.oauth.ClientSecret, m.oauth.Scope, v.mechanism)
		for key, scheme := range map[string]string{"imap": v.imap, "pop3": v.pop3, "smtp": v.smtp} {
			fmt.Fprintf(&b, "%s = \"%s://localhost:%d\"\n", key, scheme, m.ports["provider "+scheme])
		}
		fmt.Fprintf(&b, "smtp_extensions = [\"SIZE 52428800\", \"8BITMIME\", \"PIPELINING\", \"ENHANCEDSTATUSCODES\", \"CHUNKING\", \"SMTPUTF8\"]\nca_file = %q\n", m.path("server.pem"))
	}
	m.write(t, "authferry.toml", []byte(b.String()))
}

// startAuthferry starts the product.
func (m *realMail) startAuthferry(t *testing.T) {
	t.Helper()
	m.authferry = startServe(t, m.dir, "--config", m.path("authferry.toml"))
	m.lives = append(m.lives, m.authferry)
}

// connect gives consent for a mailbox and makes its local password.
func (m *realMail) connect(t *testing.T, mailbox, provider string, chosen bool) {
	t.Helper()
	m.consent(t, mailbox, provider)
	if chosen {
		m.addPassword(t, mailbox, "mail programs", chosenPassword)
		m.passwords[mailbox] = chosenPassword
		return
	}
	out, err := exec.Command("authferry", "password", "add", mailbox, "--name", "mail programs", "--config", m.path("authferry.toml")).Output()
	if err != nil {
		t.Fatalf("authferry password add: %v", explain(err))
	}
	m.passwords[mailbox] = strings.TrimRight(string(out), "\n")
}

// consent runs `authferry connect` and gives consent on the page, as a person does.
func (m *realMail) consent(t *testing.T, mailbox, provider string) {
	t.Helper()
	p, err := startProcess(m.dir, os.Environ(), "connect", mailbox, "--provider", provider, "--no-browser", "--config", m.path("authferry.toml"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	url, err := p.stdout.find(`^http://\S+$`)
	if err != nil {
		t.Fatal(err)
	}
	redirected, err := m.oauth.Consent(url, mailbox)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(p.stdin, redirected)
	code, err := p.wait()
	if err != nil || code != 0 {
		t.Fatalf("authferry connect ended with %d, %v: %s", code, err, p.stderr)
	}
}

// explain adds a command's standard error to its error.
func explain(err error) error {
	if e, ok := err.(*exec.ExitError); ok {
		return fmt.Errorf("%w: %s", err, e.Stderr)
	}
	return err
}
