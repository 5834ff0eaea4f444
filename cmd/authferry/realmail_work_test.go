//go:build realmail

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	curl   = programNamed("curl")
	mbsync = programNamed("mbsync")
	python = mailProgram{name: "Python", run: []string{"/usr/bin/python3", "work.py"}}
	ruby   = mailProgram{name: "Ruby", run: []string{"ruby", "ruby.rb"}}
	java   = mailProgram{name: "Java", run: []string{"java", "RealMail"}}
)

func (m *realMail) testWork(t *testing.T) {
	t.Run("append", m.testAppend)
	t.Run("idle", m.testIdle)
	t.Run("folders", m.testFolders)
	t.Run("20000 messages", m.testManyMessages)
	t.Run("crowd", m.testCrowd)
}

// testAppend puts the awkward mails, the one of 30 MB too, into a folder.
func (m *realMail) testAppend(t *testing.T) {
	messages := awkwardMessages()
	files := make([]string, len(messages))
	for i, msg := range messages {
		files[i] = m.path("outbox", msg.name+".bin")
	}
	for i, p := range []mailProgram{curl, python, ruby, java} {
		t.Run(p.name, func(t *testing.T) {
			started := time.Now()
			j := job{mailProgram: p, verb: "append", security: anySecurity[i%3], mailbox: mailbox(variants[i].name)}
			if out, err := m.do(t, j, append([]string{"appended"}, files...)...); err != nil {
				t.Fatalf("%v; it said\n%s", err, tail(out))
			}
			if err := compare(m.stored(t, j.mailbox, "appended"), messages); err != nil {
				t.Fatal(err)
			}
			say(started, j, "%s, hashes equal", amount(messages))
		})
	}
}

// talker is a program that goes on while the test does something else.
type talker struct {
	*transcript
	stdin io.WriteCloser
	ended chan error
}

func (m *realMail) start(t *testing.T, j job, args ...string) *talker {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), programTime)
	t.Cleanup(cancel)
	cmd := m.command(ctx, t, j, args...)
	p := &talker{transcript: newTranscript(), ended: make(chan error, 1)}
	cmd.Stdout, cmd.Stderr = p.transcript, p.transcript
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		err := cmd.Wait()
		p.end()
		p.ended <- err
	}()
	return p
}

// hears waits for a line of a program's output.
func (p *talker) hears(t *testing.T, pattern string) {
	t.Helper()
	if _, err := p.find(pattern); err != nil {
		t.Fatal(err)
	}
}

// testIdle makes programs wait for a mail, which then arrives.
func (m *realMail) testIdle(t *testing.T) {
	for i, p := range []mailProgram{python, ruby} {
		for _, security := range anySecurity {
			t.Run(p.name+"/"+security, func(t *testing.T) {
				started := time.Now()
				j := job{mailProgram: p, verb: "idle", security: security, mailbox: mailbox(variants[i].name)}
				idler := m.start(t, j)
				idler.hears(t, "^idling")
				msg := newMessage("idle "+p.name+security, "here it is\r\n")
				m.write(t, "outbox/idle", msg)
				sender := job{mailProgram: curl, verb: "send", security: "tls", mailbox: j.mailbox}
				if out, err := m.do(t, sender, j.mailbox, j.mailbox, m.path("outbox", "idle")); err != nil {
					t.Fatalf("%v; it said\n%s", err, tail(out))
				}
				hash := sha256.Sum256(msg)
				idler.hears(t, "^saw "+hex.EncodeToString(hash[:]))
				if err := <-idler.ended; err != nil {
					t.Fatalf("%v; it said\n%s", err, idler)
				}
				say(started, j, "saw the new mail")
			})
		}
	}
}

// folderNames are nested, and in several scripts.
func folderNames() []string {
	var names []string
	for _, top := range []string{"Archiv", "Zażółć gęślą", "Входящие", "日本語", "R&D", "emoji 📬", `with "quotes"`, "spaces  two"} {
		names = append(names, top)
		for year := range 10 {
			names = append(names, fmt.Sprintf("%s/%d", top, 2015+year), fmt.Sprintf("%s/%d/größer", top, 2015+year))
		}
	}
	return names
}

// testFolders creates folders with nested and non-ASCII names with one program, and
// reads the names and the mails with others.
func (m *realMail) testFolders(t *testing.T) {
	started := time.Now()
	names := folderNames()
	maker := job{mailProgram: python, verb: "folders", security: "plain", mailbox: mailbox(variants[2].name)}
	if out, err := m.do(t, maker, append([]string{m.path("outbox", "empty.bin")}, names...)...); err != nil {
		t.Fatalf("%v; it said\n%s", err, tail(out))
	}
	say(started, maker, "%d folders made", len(names))

	started = time.Now()
	lister := job{mailProgram: java, verb: "list", security: "starttls", mailbox: maker.mailbox}
	out, err := m.do(t, lister)
	if err != nil {
		t.Fatalf("%v; it said\n%s", err, tail(out))
	}
	listed := strings.Split(string(out), "\n")
	for _, name := range names {
		if !slices.Contains(listed, name) {
			t.Errorf("Java does not list the folder %q", name)
		}
	}
	say(started, lister, "%d folders listed", len(listed)-1)

	started = time.Now()
	dir := t.TempDir()
	syncer := job{mailProgram: mbsync, verb: "imap", security: "tls", mailbox: maker.mailbox}
	if out, err := m.do(t, syncer, dir, `* !INBOX !appended`); err != nil {
		t.Fatalf("%v; it said\n%s", err, tail(out))
	}
	var want []message
	for _, name := range names {
		subject := "Subject: " + base64.StdEncoding.EncodeToString([]byte(name))
		want = append(want, message{name, bytes.Replace(newMessage("empty", ""), []byte("Subject: empty"), []byte(subject), 1)})
	}
	var got [][]byte
	for _, raw := range filesBelow(t, dir) {
		got = append(got, without(onWire(raw), mbsync.adds...))
	}
	if err := compare(got, want); err != nil {
		t.Fatal(err)
	}
	say(started, syncer, "%d folders, hashes equal", len(names))
}

// testManyMessages syncs a large mailbox, and reads all its headers at once.
func (m *realMail) testManyMessages(t *testing.T) {
	messages := make([]message, 20_000)
	body := randomLines(1700)
	for i := range messages {
		messages[i].raw = newMessage(fmt.Sprintf("number %d", i), body)
	}
	box := mailbox(variants[1].name)
	m.seed(t, box, "many", messages)

	t.Run("headers", func(t *testing.T) {
		started := time.Now()
		j := job{mailProgram: python, verb: "headers", security: "plain", mailbox: box}
		out, err := m.do(t, j, "many")
		if err != nil {
			t.Fatalf("%v; it said\n%s", err, tail(out))
		}
		var hashes []string
		for _, msg := range messages {
			hash := sha256.Sum256(msg.raw[:bytes.Index(msg.raw, []byte("\r\n\r\n"))+4])
			hashes = append(hashes, hex.EncodeToString(hash[:]))
		}
		slices.Sort(hashes)
		all := sha256.Sum256([]byte(strings.Join(hashes, "")))
		if want := fmt.Sprintf("%d %x\n", len(messages), all); string(out) != want {
			t.Fatalf("it found %q, not %q", out, want)
		}
		say(started, j, "%d headers, hashes equal", len(messages))
	})
	t.Run("mbsync", func(t *testing.T) {
		started := time.Now()
		j := job{mailProgram: mbsync, verb: "imap", security: "tls", mailbox: box}
		dir := t.TempDir()
		if out, err := m.do(t, j, dir, "many"); err != nil {
			t.Fatalf("%v; it said\n%s", err, tail(out))
		}
		var got [][]byte
		for _, raw := range filesBelow(t, dir) {
			got = append(got, without(onWire(raw), mbsync.adds...))
		}
		if err := compare(got, messages); err != nil {
			t.Fatal(err)
		}
		say(started, j, "%s, hashes equal", amount(messages))
	})
}

// testCrowd makes fifty sessions work at the same time.
func (m *realMail) testCrowd(t *testing.T) {
	const sessions = 50
	hash := sha256.Sum256(awkwardMessages()[0].raw)
	for i, protocol := range []string{"imap", "pop3", "smtp"} {
		t.Run(protocol, func(t *testing.T) {
			started := time.Now()
			verb := strings.Replace(protocol, "smtp", "send", 1) // for the port
			j := job{mailProgram: python, verb: verb, security: anySecurity[i], mailbox: mailbox(variants[i].name)}
			want := hex.EncodeToString(hash[:]) + "\n"
			to := m.newRecipient()
			if protocol == "smtp" {
				want = "sent\n"
			}
			out, err := m.do(t, j, "crowd", protocol, fmt.Sprint(sessions), j.mailbox, to, m.path("outbox", "dots.bin"))
			if err != nil {
				t.Fatalf("%v; it said\n%s", err, tail(out))
			}
			if string(out) != strings.Repeat(want, sessions) {
				t.Fatalf("not every session went well:\n%s", tail(out))
			}
			if protocol == "smtp" {
				eventually(t, "every mail of the crowd has been delivered", func() bool { return m.count(to) == sessions })
			}
			say(started, j, "%d sessions at a time", sessions)
		})
	}
}
