//go:build realmail

package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"authferry/internal/mailsettings"
	"authferry/internal/server"
	"authferry/proxy"
)

// TestReadyFilesAtWork: real programs send and read with their ready files.
// See .ci/realmail.
func TestReadyFilesAtWork(t *testing.T) {
	t.Parallel()
	s, _ := newShow(t)
	s.reconfigured(t, func(before string) string {
		return strings.Replace(before, "listen = [", `listen = ["imaps://127.0.0.1:0", "smtps://127.0.0.1:0", "imap+starttls://127.0.0.1:0", "smtp+starttls://127.0.0.1:0", `, 1)
	})
	c := s.service.InForce()
	bound := map[string]string{}
	for _, l := range s.service.Status().Listeners {
		bound[l.URL] = l.Address
	}
	for security, name := range map[proxy.Security]string{proxy.Plain: "plain", proxy.StartTLS: "starttls", proxy.Implicit: "tls"} {
		services := slices.DeleteFunc(server.MailServices(c, bound), func(m mailsettings.Service) bool { return m.Security != security })
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newReadyPrograms(t, s, services).roundTrip(t, name)
		})
	}
}

// readyPrograms are programs that need only their ready files, the password and, with
// TLS, the authority to trust.
type readyPrograms struct {
	home, authority string
	services        []mailsettings.Service
}

func newReadyPrograms(t *testing.T, s *show, services []mailsettings.Service) *readyPrograms {
	p := &readyPrograms{home: t.TempDir(), authority: filepath.Join(s.dir, "state", "ca.pem"), services: services}
	p.write(t, "password", s.password.Reveal()+"\n")
	if err := os.Mkdir(filepath.Join(p.home, "Mail"), 0o700); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *readyPrograms) write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(p.home, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// file writes the ready file of a program, with a change.
func (p *readyPrograms) file(t *testing.T, program, from, to string) string {
	t.Helper()
	card, _ := mailsettings.CardFor(program, mailsettings.CardMailbox{Address: demoMailbox}, p.services, "en")
	if card.Content == "" || !strings.Contains(card.Content, from) {
		t.Fatalf("%s: %+v", program, card)
	}
	return p.write(t, card.File, strings.Replace(card.Content, from, to, 1))
}

func (p *readyPrograms) run(t *testing.T, input, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = []string{"HOME=" + p.home, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}
	cmd.Dir, cmd.Stdin = p.home, strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// roundTrip sends a mail by each program that sends, and has mbsync fetch them.
func (p *readyPrograms) roundTrip(t *testing.T, name string) {
	sent := []string{"by msmtp, " + name}
	rc := p.file(t, "msmtp", "account authferry\n", "account authferry\ntls_trust_file "+p.authority+"\npasswordeval \"cat "+p.home+"/password\"\n")
	p.run(t, "Subject: "+sent[0]+"\n\nHello.\n", "msmtp", "-C", rc, demoMailbox)
	if _, err := exec.LookPath("mutt"); err == nil {
		sent = append(sent, "by mutt, "+name)
		rc := p.file(t, "mutt", "set from", "set smtp_pass = \"`cat "+p.home+"/password`\"\nset certificate_file = \""+p.authority+"\"\nset from")
		p.run(t, "Hello.\n", "mutt", "-F", rc, "-s", sent[1], "--", demoMailbox)
	}
	rc = p.file(t, "mbsync", "\nAuthMechs", "\nCertificateFile "+p.authority+"\nPassCmd \"cat "+p.home+"/password\"\nAuthMechs")
	p.run(t, "", "mbsync", "-c", rc, "-a")
	var fetched strings.Builder
	err := filepath.WalkDir(filepath.Join(p.home, "Mail", "INBOX"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		fetched.Write(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range sent {
		if !strings.Contains(fetched.String(), "Subject: "+subject) {
			t.Errorf("no mail %q among those that mbsync fetched", subject)
		}
	}
}
