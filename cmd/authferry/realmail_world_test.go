//go:build realmail

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/template"
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

// smallMailbox has small mails only, for what is not about size.
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

// usedPorts are those handed out by freePort: a port is only free until
// somebody listens on it.
var usedPorts = make(map[int]bool)

// freePort returns a port below those that the system gives to outgoing
// connections, one of which might take it before a server that restarts.
func freePort(t *testing.T) int {
	t.Helper()
	for port := 20000 + os.Getpid()%8000; port < 32000; port++ {
		if usedPorts[port] {
			continue
		}
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		ln.Close()
		usedPorts[port] = true
		return port
	}
	t.Fatal("no free port between 20000 and 32000")
	return 0
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

// makeCertificate gives the provider's servers a certificate of an authority of
// their own, which authferry is told to trust.
func (m *realMail) makeCertificate(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "real mail"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	m.write(t, "server.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	m.write(t, "server.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
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

// fill writes a server's configuration from its template.
func (m *realMail) fill(t *testing.T, name, to string) {
	t.Helper()
	tmpl, err := template.ParseFiles("testdata/realmail/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	err = tmpl.Execute(&b, map[string]any{
		"Dir": m.dir, "IntrospectURL": m.oauth.IntrospectURL,
		"IMAP": m.ports["provider imap"], "IMAPS": m.ports["provider imaps"],
		"POP3": m.ports["provider pop3"], "POP3S": m.ports["provider pop3s"],
		"Submission": m.ports["provider smtp"], "Submissions": m.ports["provider smtps"],
		"Office": m.ports["provider office"], "Relay": m.ports["smtp plain"],
	})
	if err != nil {
		t.Fatal(err)
	}
	m.write(t, to, b.Bytes())
	if err := os.Chmod(m.path(to), 0o644); err != nil { // Postfix reads it as its own user
		t.Fatal(err)
	}
}

// ownedBy makes a directory that belongs to a server's user.
func (m *realMail) ownedBy(t *testing.T, name, owner string) {
	t.Helper()
	if err := os.MkdirAll(m.path(name), 0o755); err != nil {
		t.Fatal(err)
	}
	uid, gid := idsOf(t, owner)
	if err := os.Chown(m.path(name), uid, gid); err != nil {
		t.Fatal(err)
	}
}

func idsOf(t *testing.T, name string) (uid, gid int) {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ = strconv.Atoi(u.Uid)
	gid, _ = strconv.Atoi(u.Gid)
	return uid, gid
}

func (m *realMail) startDovecot(t *testing.T) {
	t.Helper()
	m.fill(t, "dovecot.conf", "dovecot.conf")
	m.fill(t, "dovecot-oauth2.conf.ext", "dovecot-oauth2.conf.ext")
	m.ownedBy(t, "mail", "mail")
	if err := os.MkdirAll(m.path("dovecot", "state"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.runDovecot(t)
	t.Cleanup(func() { m.stopDovecot() })
}

func (m *realMail) runDovecot(t *testing.T) {
	t.Helper()
	m.dovecot = exec.Command("dovecot", "-F", "-c", m.path("dovecot.conf"))
	out := newTranscript()
	m.dovecot.Stdout, m.dovecot.Stderr = out, out
	m.dovecot.WaitDelay = time.Second // its children have inherited the pipe
	if err := m.dovecot.Start(); err != nil {
		t.Fatal(err)
	}
	m.waitForPort(t, "provider imaps")
}

func (m *realMail) stopDovecot() {
	exec.Command("doveadm", "-c", m.path("dovecot.conf"), "stop").Run()
	m.dovecot.Wait()
}

func (m *realMail) startPostfix(t *testing.T) {
	t.Helper()
	m.fill(t, "main.cf", "postfix/etc/main.cf")
	m.fill(t, "master.cf", "postfix/etc/master.cf")
	m.write(t, "postfix/etc/password", fmt.Appendf(nil, "[127.0.0.1]:%d %s:%s\n", m.ports["smtp plain"], smallMailbox, m.passwords[smallMailbox]))
	m.ownedBy(t, "postfix/data", "postfix")
	if err := os.MkdirAll(m.path("postfix", "queue"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := m.postfix("start"); err != nil {
		t.Fatalf("starting Postfix: %v\n%s", err, out)
	}
	t.Cleanup(func() { m.postfix("abort") })
	m.waitForPort(t, "provider smtps")
}

func (m *realMail) postfix(command ...string) ([]byte, error) {
	return exec.Command("postfix", append([]string{"-c", m.path("postfix", "etc")}, command...)...).CombinedOutput()
}

// waitForPort waits until somebody listens.
func (m *realMail) waitForPort(t *testing.T, name string) {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", m.ports[name])
	eventually(t, "somebody listens on "+name, func() bool {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
}

// eventually looks until something outside this process has come about.
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
	b.WriteString("]\n[log]\nlevel = \"debug\"\nformat = \"json\"\n")
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
	stdin := ""
	args := []string{"password", "add", mailbox, "--name", "mail programs", "--config", m.path("authferry.toml")}
	if chosen {
		stdin = chosenPassword
		args = append(args, "--stdin")
	}
	cmd := exec.Command("authferry", args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("authferry password add: %v", explain(err))
	}
	m.passwords[mailbox] = strings.TrimRight(string(out), "\n")
	if chosen {
		if len(out) > 0 {
			t.Fatalf("password add --stdin printed %d bytes", len(out))
		}
		m.passwords[mailbox] = chosenPassword
	}
}

// consent runs `authferry connect` and does at the consent page what a person does.
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

// explain adds what a command said on standard error.
func explain(err error) error {
	if e, ok := err.(*exec.ExitError); ok {
		return fmt.Errorf("%w: %s", err, e.Stderr)
	}
	return err
}
