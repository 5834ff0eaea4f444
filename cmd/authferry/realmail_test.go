//go:build realmail

package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestRealMail runs real mail programs, which log in with a password, through
// authferry to a real Dovecot and Postfix, which accept only OAuth tokens. It needs them installed, and root: see .ci/realmail.
func TestRealMail(t *testing.T) {
	for _, name := range []string{"dovecot", "doveadm", "postfix", "curl", "mbsync", "fetchmail", "getmail", "mpop", "msmtp", "swaks", "mutt",
		"/usr/bin/python3", "php", "perl", "ruby", "java", "javac", "keytool", "offlineimap", "imapfilter", "s-nail"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Errorf("%s is not installed: .ci/realmail does that", name)
		}
	}
	if t.Failed() {
		return
	}
	m := startRealMail(t)
	m.prepareJava(t)
	messages := awkwardMessages()
	for _, v := range variants {
		m.seed(t, mailbox(v.name), "", messages)
	}
	m.seed(t, smallMailbox, "", messages[:2])
	m.write(t, "body", bytes.ReplaceAll([]byte(dotLines), []byte("\r\n"), []byte("\n")))
	for _, msg := range messages {
		m.write(t, "outbox/"+msg.name+".bin", msg.raw)
	}

	t.Run("fetch", func(t *testing.T) { m.testFetch(t, messages) })
	t.Run("send", func(t *testing.T) { m.testSend(t, messages) })
	t.Run("work", m.testWork)
	t.Run("logins", m.testLogins)
	t.Run("wrong password", m.testWrongPassword)
	t.Run("trouble", m.testTrouble)
	t.Run("log", m.testLog)
}

// testFetch has every program fetch the awkward mails by every protocol and
// security it knows.
func (m *realMail) testFetch(t *testing.T, messages []message) {
	n := 0
	for _, p := range mailPrograms {
		for _, verb := range []string{"imap", "simple", "pop3"} {
			for _, security := range p.verbs[verb] {
				// The variants of the provider's side take turns.
				j := job{mailProgram: p, verb: verb, security: security, mailbox: mailbox(variants[n%len(variants)].name)}
				n++
				t.Run(p.name+"/"+verb+"/"+security, func(t *testing.T) { m.fetch(t, j, messages) })
			}
		}
	}
}

// testSend has every program send the awkward mails over every security it knows.
func (m *realMail) testSend(t *testing.T, messages []message) {
	n := 0
	for _, p := range mailPrograms {
		for i, security := range p.verbs["send"] {
			j := job{mailProgram: p, verb: "send", security: security, mailbox: mailbox(variants[n%len(variants)].name)}
			n++
			// Programs that encode 30 MB take longer for that than for sending it.
			some := messages
			if p.composes && i > 0 {
				some = messages[:len(messages)-1]
			}
			t.Run(p.name+"/"+security, func(t *testing.T) { m.send(t, j, some) })
		}
	}
}

// send makes a program send mails to a recipient of its own, and compares the mails
// that arrive there.
func (m *realMail) send(t *testing.T, j job, messages []message) {
	t.Helper()
	started := time.Now()
	to := m.newRecipient()
	args := []string{j.mailbox, to}
	for _, msg := range messages {
		args = append(args, m.path("outbox", msg.name+".bin"))
	}
	if out, err := m.do(t, j, args...); err != nil {
		t.Fatalf("%v; it said\n%s", err, tail(out))
	}
	eventually(t, "the mails have been delivered", func() bool { return m.count(to) >= len(messages) })
	var got [][]byte
	for _, raw := range m.stored(t, to, "") {
		sent, err := j.sent(raw)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, sent)
	}
	if err := compare(got, j.expectedSent(messages)); err != nil {
		t.Fatal(err)
	}
	say(started, j, "%s, hashes equal", amount(messages))
}

// newRecipient returns an address that has had no mail yet.
func (m *realMail) newRecipient() string {
	m.recipients++
	return fmt.Sprintf("recipient-%d@example.org", m.recipients)
}

// count returns how many mails have been delivered to an address.
func (m *realMail) count(address string) int {
	entries, _ := os.ReadDir(m.maildir(address, "") + "/new")
	return len(entries)
}

// sent returns the mail that the program sent, from the mail that was delivered.
func (j job) sent(raw []byte) ([]byte, error) {
	if j.composes {
		return attachment(raw)
	}
	// Servers add trace fields before the mail.
	i := bytes.Index(raw, []byte("From: sender@example.org\r\n"))
	if i < 0 {
		return nil, fmt.Errorf("a mail arrived that nobody sent: %.300q", raw)
	}
	return raw[i:], nil
}

// expectedSent returns the mails that have to be delivered.
func (j job) expectedSent(messages []message) []message {
	var expected []message
	for _, msg := range messages {
		if !j.composes && !bytes.HasSuffix(msg.raw, []byte("\r\n")) {
			// SMTP transfers lines, so that the last one gets a line end (RFC 5321 §4.1.1.4).
			msg.raw = append(bytes.Clone(msg.raw), '\r', '\n')
		} else if j.emptyEnd {
			msg.raw = append(bytes.Clone(msg.raw), '\r', '\n')
		}
		expected = append(expected, msg)
	}
	return expected
}

// attachment checks the text of a mail that a program has built, and returns
// the file in it.
func attachment(raw []byte) ([]byte, error) {
	msg, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	_, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil {
		return nil, err
	}
	parts := multipart.NewReader(msg.Body, params["boundary"])
	text, err := nextPart(parts)
	if err != nil {
		return nil, fmt.Errorf("the text: %w", err)
	}
	if !strings.Contains(string(onWire(text)), strings.TrimSpace(dotLines)) {
		return nil, fmt.Errorf("the text is not what it was: %q", text)
	}
	return nextPart(parts)
}

func nextPart(parts *multipart.Reader) ([]byte, error) {
	part, err := parts.NextRawPart()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	switch strings.ToLower(part.Header.Get("Content-Transfer-Encoding")) {
	case "base64":
		_, err = b.ReadFrom(base64.NewDecoder(base64.StdEncoding, part))
	case "quoted-printable":
		_, err = b.ReadFrom(quotedprintable.NewReader(part))
	default:
		_, err = b.ReadFrom(part)
	}
	return b.Bytes(), err
}

// testLog searches the log of all tests above for secrets, and for messages that the
// program must never log.
func (m *realMail) testLog(t *testing.T) {
	for _, p := range m.lives {
		log := p.stderr.bytes()
		for _, disaster := range []string{"DATA RACE", "panic", "fatal error"} {
			if i := bytes.Index(log, []byte(disaster)); i >= 0 {
				t.Errorf("the log holds a disaster: %.4000s", log[i:])
			}
		}
		for mailbox, password := range m.passwords {
			for _, spelling := range []string{password, hardToQuote, strings.ReplaceAll(password, " ", ""), base64.StdEncoding.EncodeToString([]byte("\x00" + mailbox + "\x00" + password))} {
				if bytes.Contains(log, []byte(spelling)) {
					t.Errorf("the log holds the local password of %s", mailbox)
				}
			}
		}
		for _, mark := range []string{"ya29.", "1//0", m.oauth.ClientSecret, "Bearer "} {
			if bytes.Contains(log, []byte(mark)) {
				t.Errorf("the log holds %q, which begins a secret", mark)
			}
		}
	}
}
