//go:build realmail

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// mailProgram is a program that logs in with a user name and a password.
type mailProgram struct {
	name string
	run  []string // the command; a script of testdata/realmail/clients, run by its interpreter
	// verbs it has: imap, pop3, send; each over these securities
	verbs map[string][]string

	// What the program does to a mail by itself:
	adds     []string // header fields
	endsLine bool     // adds a line end to the last line, over IMAP too
	emptyEnd bool     // sends an additional empty line
	composes bool     // builds the mail itself, with the message as an attachment
	breaks   []string // mails that it cannot fetch whole, from any server
}

var (
	anySecurity = []string{"plain", "starttls", "tls"}
	noStartTLS  = []string{"plain", "tls"}
)

var mailPrograms = []mailProgram{
	{name: "curl", run: []string{"bash", "curl.sh"}, verbs: verbs(anySecurity, "imap", "pop3", "send")},
	// mbsync marks what it copies until it knows the UID.
	{name: "mbsync", run: []string{"bash", "mbsync.sh"}, verbs: verbs(anySecurity, "imap"), adds: []string{"X-TUID"}},
	// fetchmail 6 writes stray bytes every 8 kB of a longer line.
	{name: "fetchmail", run: []string{"bash", "fetchmail.sh"}, verbs: verbs(anySecurity, "imap", "pop3"), endsLine: true, breaks: []string{"long"}},
	{name: "getmail", run: []string{"bash", "getmail.sh"}, verbs: verbs(noStartTLS, "imap", "pop3"),
		adds: []string{"Return-Path", "X-GMAIL-LABELS", "X-GMAIL-THRID", "X-GMAIL-MSGID", "X-getmail-retrieved-from-mailbox"}},
	{name: "mpop", run: []string{"bash", "mpop.sh"}, verbs: verbs(anySecurity, "pop3")},
	{name: "msmtp", run: []string{"bash", "msmtp.sh"}, verbs: verbs(anySecurity, "send")},
	{name: "swaks", run: []string{"bash", "swaks.sh"}, verbs: verbs(anySecurity, "send"), emptyEnd: true},
	{name: "mutt", run: []string{"bash", "mutt.sh"}, verbs: verbs(anySecurity, "imap", "pop3", "send"), adds: []string{"Content-Length", "Lines", "Status"}, composes: true},
	{name: "Python", run: []string{"/usr/bin/python3", "python.py"}, verbs: verbs(anySecurity, "imap", "pop3", "send")},
	// Behind STARTTLS PHP's c-client speaks TLS 1.0 at most, which is not offered.
	{name: "PHP imap", run: []string{"php", "php.php"}, verbs: verbs(noStartTLS, "imap", "pop3")},
	{name: "PHPMailer", run: []string{"php", "php.php"}, verbs: verbs(anySecurity, "send"), composes: true},
	{name: "Perl", run: []string{"perl", "perl.pl"}, verbs: verbs(anySecurity, "imap", "pop3", "send")},
	// Net::IMAP::Simple takes a line of the mail for the server's.
	{name: "Net::IMAP::Simple", run: []string{"perl", "perl.pl"}, verbs: verbs(noStartTLS, "simple"), breaks: []string{"protocol"}},
	{name: "Ruby", run: []string{"ruby", "ruby.rb"}, verbs: map[string][]string{"imap": anySecurity, "pop3": noStartTLS, "send": anySecurity}},
	{name: "Java", run: []string{"java", "RealMail"}, verbs: verbs(anySecurity, "imap", "pop3", "send")},
	// After STARTTLS two threads of imaplib2 use one TLS connection without a lock:
	// where a server sends session tickets after the handshake, as Go's crypto/tls
	// does, about one connection in twelve hangs.
	{name: "OfflineIMAP", run: []string{"bash", "offlineimap.sh"}, verbs: verbs(noStartTLS, "imap")},
	{name: "imapfilter", run: []string{"bash", "imapfilter.sh"}, verbs: verbs(anySecurity, "imap")},
	{name: "s-nail", run: []string{"bash", "snail.sh"}, verbs: verbs(anySecurity, "send"), composes: true},
}

func verbs(securities []string, names ...string) map[string][]string {
	v := make(map[string][]string)
	for _, name := range names {
		v[name] = securities
	}
	return v
}

// protocolOf returns the protocol of a verb.
func protocolOf(verb string) string {
	switch verb {
	case "send":
		return "smtp"
	case "pop3":
		return "pop3"
	}
	return "imap"
}

// programTime bounds one run of a mail program.
const programTime = 90 * time.Second

// job is one run of a mail program.
type job struct {
	mailProgram
	verb, security, mailbox string
	password                string   // "" is the right one
	env                     []string // more of it
}

// command prepares a run with a home of its own.
func (m *realMail) command(ctx context.Context, t *testing.T, j job, args ...string) *exec.Cmd {
	t.Helper()
	clients, err := filepath.Abs("testdata/realmail/clients")
	if err != nil {
		t.Fatal(err)
	}
	line := slices.Clone(j.run)
	if j.run[0] == "java" {
		line = slices.Concat([]string{"java", "-Xmx1g", "-cp", m.javaPath(), "-Djavax.net.ssl.trustStore=" + m.path("trust.p12"),
			"-Djavax.net.ssl.trustStorePassword=changeit"}, line[1:])
	} else {
		line[1] = filepath.Join(clients, line[1])
	}
	cmd := exec.CommandContext(ctx, line[0], slices.Concat(line[1:], []string{j.verb}, args)...)
	if j.password == "" {
		j.password = m.passwords[j.mailbox]
	}
	cmd.Env = slices.Concat(os.Environ(), []string{
		"HOME=" + t.TempDir(), "HOST=localhost", "PORT=" + strconv.Itoa(m.ports[protocolOf(j.verb)+" "+j.security]),
		"SECURITY=" + j.security, "MAILUSER=" + j.mailbox, "MAILPASS=" + j.password,
		"CA=" + m.path("store", "ca.pem"), "SSL_CERT_FILE=" + m.path("store", "ca.pem"), "BODY=" + m.path("body"), "LC_ALL=C.UTF-8",
	}, j.env)
	cmd.WaitDelay = time.Second
	return cmd
}

// do runs a program to its end and returns its output.
func (m *realMail) do(t *testing.T, j job, args ...string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), programTime)
	defer cancel()
	return m.command(ctx, t, j, args...).CombinedOutput()
}

func (m *realMail) javaPath() string {
	return m.path("java") + ":/usr/share/java/jakarta-mail.jar:/usr/share/java/jakarta-activation.jar"
}

// prepareJava compiles the Java program and has Java trust authferry.
func (m *realMail) prepareJava(t *testing.T) {
	t.Helper()
	for _, line := range [][]string{
		{"javac", "-d", m.path("java"), "-cp", m.javaPath(), "testdata/realmail/clients/RealMail.java"},
		{"keytool", "-importcert", "-noprompt", "-alias", "authferry", "-file", m.path("store", "ca.pem"),
			"-keystore", m.path("trust.p12"), "-storetype", "PKCS12", "-storepass", "changeit"},
	} {
		if out, err := exec.CommandContext(t.Context(), line[0], line[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line[0], err, out)
		}
	}
}

// fetch makes a program fetch a mailbox, and compares the mails that it saved.
func (m *realMail) fetch(t *testing.T, j job, want []message) {
	t.Helper()
	dir := t.TempDir()
	started := time.Now()
	if out, err := m.do(t, j, dir); err != nil {
		t.Fatalf("%v; it said\n%s", err, tail(out))
	}
	var got [][]byte
	for _, raw := range filesBelow(t, dir) {
		raw = without(onWire(raw), j.adds...)
		if !j.broke(raw) {
			got = append(got, raw)
		}
	}
	if err := compare(got, j.expected(want)); err != nil {
		t.Fatal(err)
	}
	say(started, j, "%s, hashes equal", amount(want))
}

// expected returns the mails that the program has to save.
func (j job) expected(want []message) []message {
	var expected []message
	for _, w := range want {
		if j.broke(w.raw) {
			continue
		}
		// POP3 transfers lines, so that the last one gets a line end (RFC 1939 §3).
		if (j.verb == "pop3" || j.endsLine) && !bytes.HasSuffix(w.raw, []byte("\r\n")) {
			w.raw = append(slices.Clone(w.raw), '\r', '\n')
		}
		expected = append(expected, w)
	}
	return expected
}

// broke reports whether a mail is one that the program cannot fetch whole, or a piece
// of one.
func (j job) broke(raw []byte) bool {
	if len(j.breaks) > 0 && !bytes.Contains(raw, []byte("\r\n\r\n")) {
		return true
	}
	return slices.ContainsFunc(j.breaks, func(name string) bool {
		return bytes.Contains(raw[:min(len(raw), 1000)], []byte("\r\nSubject: "+name+"\r\n"))
	})
}

// amount returns the number of mails and their size, in words.
func amount(messages []message) string {
	size := 0
	for _, msg := range messages {
		size += len(msg.raw)
	}
	return fmt.Sprintf("%d messages, %d MB", len(messages), (size+1<<19)>>20)
}

// say prints the line for a person who reads the log of a run.
func say(started time.Time, j job, format string, args ...any) {
	fmt.Printf("ok   %-17s %-6s %-8s %s (%.1f s)\n", j.name, j.verb, j.security, fmt.Sprintf(format, args...), time.Since(started).Seconds())
}

// tail returns the end of a program's output; the beginning is its own debugging.
func tail(out []byte) string {
	const enough = 4000
	if len(out) > enough {
		out = out[len(out)-enough:]
	}
	return strings.ToValidUTF8(string(out), "?")
}
