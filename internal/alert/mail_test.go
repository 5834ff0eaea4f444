package alert

import (
	"bytes"
	"io"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strconv"
	"strings"
	"testing"
	"time"

	"authferry/demo"
	"authferry/internal/secret"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// mailRig has two mailboxes at a simulated Gmail, the first of which is dead.
func mailRig(t *testing.T, c Config, startTLS bool) (*rig, *demo.Provider) {
	t.Helper()
	g, err := demo.Start(demo.Options{Mailboxes: []string{"a@gmail.com", "b@gmail.com"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	address := g.SMTP
	if startTLS {
		address = g.SMTPStartTLS
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	p := *oauth.Builtin()["gmail"]
	p.AuthURL, p.TokenURL, p.Issuer = g.AuthURL, g.TokenURL, ""
	p.ClientID, p.ClientSecret, p.RootCAs = g.ClientID, secret.String(g.ClientSecret), g.CAs
	p.SMTP = oauth.Endpoint{Host: host, Port: n, StartTLS: startTLS}
	r := newRig(t, c, &p)
	r.at = time.Now()
	for _, mailbox := range []string{"a@gmail.com", "b@gmail.com"} {
		consent, err := p.NewConsent("http://127.0.0.1:1/", mailbox)
		if err != nil {
			t.Fatal(err)
		}
		redirected, err := g.Consent(consent.URL, mailbox)
		if err != nil {
			t.Fatal(err)
		}
		token, err := consent.Finish(t.Context(), redirected)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.vault.Connect(t.Context(), tokens.Connection{Mailbox: mailbox, Provider: "gmail", Token: token}); err != nil {
			t.Fatal(err)
		}
	}
	g.RevokeGrants("a@gmail.com")
	r.edit("a@gmail.com", dead)
	return r, g
}

// TestMail: the mail goes through the mailbox that works, also if its access
// token has just been ended by the provider.
func TestMail(t *testing.T) {
	for name, startTLS := range map[string]bool{"TLS": false, "STARTTLS": true} {
		t.Run(name, func(t *testing.T) { testMail(t, startTLS) })
	}
}

func testMail(t *testing.T, startTLS bool) {
	r, g := mailRig(t, Config{MailTo: []string{"b@gmail.com"}}, startTLS)
	g.ExpireAccessTokens()
	r.look(t.Context())
	if s := r.Snapshot(); s.Sent[hookMail] != 1 {
		t.Fatalf("%+v %v", s, r.logs.All())
	}
	inbox, err := g.Messages("b@gmail.com", "INBOX")
	if err != nil || len(inbox) != 1 {
		t.Fatalf("%d messages, %v", len(inbox), err)
	}
	m, err := mail.ReadMessage(bytes.NewReader(inbox[0]))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(m.Header.Get("From"), "b@gmail.com") || m.Header.Get("Subject") != "authferry: a@gmail.com must be connected again" ||
		m.Header.Get("Auto-Submitted") != "auto-generated" || !strings.Contains(string(body), "- a@gmail.com") {
		t.Errorf("%v\n%s", m.Header, body)
	}
	r.logged("")
}

// TestMailFails: the error says which mailbox and why, and no token.
func TestMailFails(t *testing.T) {
	r, g := mailRig(t, Config{MailTo: []string{"b@gmail.com"}, MailFrom: "a@gmail.com"}, false)
	err := r.Try(t.Context())[0].Err
	if err == nil || !strings.Contains(err.Error(), "through a@gmail.com") {
		t.Errorf("a dead sender: %v", err)
	}
	r.Configure(Config{MailTo: []string{"b@gmail.com"}, MailFrom: "c@gmail.com"})
	if err := r.Try(t.Context())[0].Err; err == nil || !strings.Contains(err.Error(), "authferry connect c@gmail.com") {
		t.Errorf("a sender that is not connected: %v", err)
	}
	r.Configure(Config{MailTo: []string{"b@gmail.com"}})
	for _, fault := range []demo.MailFault{demo.MailRefuse, demo.MailTemporary, demo.MailCut, demo.MailTooMany} {
		g.Faults.Mail("smtp", fault)
		err := r.Try(t.Context())[0].Err
		if err == nil || strings.Contains(err.Error(), "ya29") {
			t.Errorf("%s: %v", fault, err)
		}
	}
	g.Faults.Mail("smtp", demo.MailNormal)
	if err := r.Try(t.Context())[0].Err; err != nil {
		t.Error(err)
	}
}
