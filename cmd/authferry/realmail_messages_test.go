//go:build realmail

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// message is one of the test's mails, with the CRLF line ends it has on the wire.
type message struct {
	name string
	raw  []byte
}

const thirtyMB = 30 << 20

// awkwardMessages are mails that mail software has been seen to get wrong, and
// one of 30 MB.
func awkwardMessages() []message {
	eightBit := make([]byte, 0, 128)
	for b := 128; b < 256; b++ {
		eightBit = append(eightBit, byte(b))
	}
	line := strings.Repeat("x", 70_000)
	bodies := []struct{ name, body string }{
		{"dots", dotLines},
		{"utf8", strings.Repeat("Zażółć gęślą jaźń, ☃.\r\n", 40)},
		{"eightbit", string(eightBit) + "\r\n"},
		{"long", line + "\r\n." + line + "\r\nend\r\n"},
		{"empty", ""},
		{"nofinal", "the last line has no end"},
		// Lines that a program or a proxy may take for protocol.
		{"protocol", "* OK ready\r\n+OK\r\n-ERR\r\nA1 OK done\r\n)\r\n* 1 FETCH (UID 1 BODY[] {3}\r\nQUIT\r\nRSET\r\n354 go\r\n250 ok\r\n+ \r\n* BYE\r\nSTARTTLS\r\n"},
		{"thirty", randomLines(thirtyMB)},
	}
	var messages []message
	for _, b := range bodies {
		messages = append(messages, message{b.name, newMessage(b.name, b.body)})
	}
	return messages
}

const dotLines = ".\r\n..\r\n.a\r\n...b\r\n.\r\n\r\nFrom nobody\r\n>From me\r\n. \r\nend.\r\n"

func newMessage(subject, body string) []byte {
	return fmt.Appendf(nil, "From: sender@example.org\r\nTo: you@example.org\r\nSubject: %s\r\nMessage-ID: <%s@real.mail>\r\n"+
		"Date: Sat, 21 Nov 2026 04:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n%s",
		subject, subject, body)
}

// randomLines is base64 in lines, about n bytes, the same each time.
func randomLines(n int) string {
	var seed [32]byte
	random := rand.NewChaCha8(seed)
	var b strings.Builder
	line := make([]byte, 54)
	for b.Len() < n {
		random.Read(line)
		b.WriteString(base64.StdEncoding.EncodeToString(line))
		b.WriteString("\r\n")
	}
	return b.String()
}

// seed puts messages into a mailbox's folder ("" is INBOX, "/" between levels)
// without the server, as files of the Maildir.
func (m *realMail) seed(t *testing.T, mailbox, folder string, messages []message) {
	t.Helper()
	dir := m.maildir(mailbox, folder)
	uid, gid := idsOf(t, "mail")
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for i, msg := range messages {
		// Numbers in the names, so that the mails come in this order.
		file := filepath.Join(dir, "cur", fmt.Sprintf("%d.M%d.real:2,S", 1_700_000_000+i, i))
		if err := os.WriteFile(file, bytes.ReplaceAll(msg.raw, []byte("\r\n"), []byte("\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.WalkDir(m.path("mail", "example.org"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, gid)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// maildir is where Dovecot keeps a folder: Maildir++, names in modified UTF-7.
func (m *realMail) maildir(mailbox, folder string) string {
	local, _, _ := strings.Cut(mailbox, "@")
	dir := m.path("mail", "example.org", local, "Maildir")
	if folder != "" {
		dir = filepath.Join(dir, "."+strings.ReplaceAll(folder, "/", "."))
	}
	return dir
}

// stored returns what the server has of a folder, as it would be on the wire.
func (m *realMail) stored(t *testing.T, mailbox, folder string) [][]byte {
	t.Helper()
	var found [][]byte
	for _, sub := range []string{"new", "cur"} {
		files, _ := filepath.Glob(filepath.Join(m.maildir(mailbox, folder), sub, "*"))
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, onWire(content))
		}
	}
	return found
}

// filesBelow reads the mails that a program has saved, without its own notes.
func filesBelow(t *testing.T, dir string) [][]byte {
	t.Helper()
	var found [][]byte
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		content, err := os.ReadFile(path)
		found = append(found, content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// onWire restores the CR of line ends. A mail with a CR in it was stored as it was on
// the wire, and does not change.
func onWire(b []byte) []byte {
	if bytes.Contains(b, []byte("\r\n")) {
		return b
	}
	return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
}

// without removes a program's own header lines from a mail.
func without(raw []byte, fields ...string) []byte {
	end := bytes.Index(raw, []byte("\r\n\r\n"))
	if end < 0 || len(fields) == 0 {
		return raw
	}
	var kept []byte
	for line := range bytes.SplitAfterSeq(raw[:end+2], []byte("\r\n")) {
		name, _, _ := strings.Cut(string(line), ":")
		mine := false
		for _, f := range fields {
			mine = mine || strings.EqualFold(f, name)
		}
		if !mine {
			kept = append(kept, line...)
		}
	}
	return append(kept, raw[end+2:]...)
}

// compare reports how mails differ from the expected ones, by their hashes.
func compare(got [][]byte, want []message) error {
	missing := make(map[[32]byte]message, len(want))
	size := 0
	for _, w := range want {
		missing[sha256.Sum256(w.raw)] = w
		size += len(w.raw)
	}
	var wrong [][]byte
	for _, g := range got {
		hash := sha256.Sum256(g)
		if _, ok := missing[hash]; ok {
			delete(missing, hash)
		} else {
			wrong = append(wrong, g)
		}
	}
	for _, w := range missing {
		return fmt.Errorf("%d of %d mails are not as they should be (%d came); %s", len(missing), len(want), len(got), difference(w, wrong))
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%d mails too many, one begins %.200q", len(wrong), wrong[0])
	}
	return nil
}

// difference shows where a mail begins to differ from the expected one, w.
func difference(w message, candidates [][]byte) string {
	best, at := []byte(nil), -1
	for _, c := range candidates {
		i := 0
		for i < len(c) && i < len(w.raw) && c[i] == w.raw[i] {
			i++
		}
		if i > at {
			best, at = c, i
		}
	}
	if best == nil {
		return fmt.Sprintf("%q is missing", w.name)
	}
	return fmt.Sprintf("%q differs from byte %d: %.120q where %.120q should be", w.name, at, best[max(0, at-20):], w.raw[max(0, at-20):])
}
