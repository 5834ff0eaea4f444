//go:build realmail

package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// testLogins has programs log in by the mechanisms they can be set to, with
// names spelt as people and programs spell them, and with a password that is
// hard to quote.
func (m *realMail) testLogins(t *testing.T) {
	for _, l := range []struct{ program, verb, mechanism string }{
		{"mbsync", "imap", "LOGIN"}, {"mbsync", "imap", "PLAIN"},
		{"mpop", "pop3", "user"}, {"mpop", "pop3", "plain"}, {"mpop", "pop3", "login"},
		{"msmtp", "send", "plain"}, {"msmtp", "send", "login"},
		{"swaks", "send", "PLAIN"}, {"swaks", "send", "LOGIN"},
		{"Ruby", "imap", "PLAIN"}, {"Ruby", "imap", "LOGIN"}, {"Ruby", "send", "login"},
		{"s-nail", "send", "plain"}, {"s-nail", "send", "login"},
		{"curl", "imap", "LOGIN"}, {"curl", "imap", "PLAIN"}, {"curl", "pop3", "LOGIN"}, {"curl", "send", "LOGIN"},
	} {
		t.Run(l.program+"/"+l.verb+"/"+l.mechanism, func(t *testing.T) {
			m.logIn(t, job{mailProgram: programNamed(l.program), verb: l.verb, security: "plain", mailbox: smallMailbox, env: []string{"AUTH=" + l.mechanism}}, l.mechanism)
		})
	}
	for _, user := range []string{"SMALL@Example.ORG", "small%40example.org"} {
		for _, verb := range []string{"imap", "pop3", "send"} {
			t.Run(user+"/"+verb, func(t *testing.T) {
				j := job{mailProgram: programNamed("Python"), verb: verb, security: "plain", mailbox: smallMailbox, env: []string{"MAILUSER=" + user}}
				m.logIn(t, j, user)
			})
		}
	}
	m.addPassword(t, smallMailbox, "hard to quote", hardToQuote)
	for _, name := range []string{"curl", "Python", "Perl", "Net::IMAP::Simple", "Ruby", "Java", "PHP imap", "PHPMailer", "swaks"} {
		for verb := range programNamed(name).verbs {
			t.Run("hard to quote/"+name+"/"+verb, func(t *testing.T) {
				j := job{mailProgram: programNamed(name), verb: verb, security: "plain", mailbox: smallMailbox, password: hardToQuote}
				m.logIn(t, j, "password hard to quote")
			})
		}
	}
}

// hardToQuote has characters that programs quote, escape or send as a literal.
const hardToQuote = `a "quoted\" {5} pass% (*) word `

func programNamed(name string) mailProgram {
	return mailPrograms[slices.IndexFunc(mailPrograms, func(p mailProgram) bool { return p.name == name })]
}

func (m *realMail) logIn(t *testing.T, j job, how string) {
	t.Helper()
	started := time.Now()
	if out, worked := m.try(t, j); !worked {
		t.Fatalf("it did not work; it said\n%s", tail(out))
	}
	say(started, j, "works with %s", how)
}

// addPassword gives a mailbox a password that the test chooses.
func (m *realMail) addPassword(t *testing.T, mailbox, name, password string) {
	t.Helper()
	cmd := exec.Command("authferry", "password", "add", mailbox, "--name", name, "--stdin", "--config", m.path("authferry.toml"))
	cmd.Stdin = strings.NewReader(password)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("authferry password add: %v", explain(err))
	}
	if len(out) > 0 {
		t.Fatalf("password add --stdin printed %d bytes", len(out))
	}
}
