package main

import (
	"os"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"authferry/internal/config"
)

// TestTrustedNetwork: go-smtp's client sends without logging in, as another
// sender, and the mail is the mailbox's. Beyond the limit the provider is not
// even called, over the next connection either.
func TestTrustedNetwork(t *testing.T) {
	t.Parallel()
	s, _ := newShow(t)
	client := func() *smtp.Client {
		t.Helper()
		c, err := smtp.Dial(s.service.Address("smtp"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	scan := func(c *smtp.Client) error {
		return c.SendMail("scanner@printer.local", []string{demoMailbox}, strings.NewReader("Subject: scan\r\n\r\nPages.\r\n"))
	}
	refused := func(err error, code int) {
		t.Helper()
		if reply, ok := err.(*smtp.SMTPError); !ok || reply.Code != code {
			t.Errorf("%v, want %d", err, code)
		}
	}
	refused(scan(client()), 530)
	text, err := os.ReadFile(s.configPath())
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, "\n[[gate.trusted]]\nnetworks = ['127.0.0.0/8', '::1']\nmailbox = '"+demoMailbox+"'\nmessages_per_hour = 2\n"...)
	if err := os.WriteFile(s.configPath(), text, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(s.configPath())
	if err == nil {
		err = s.service.Reload(c)
	}
	if err != nil {
		t.Fatal(err)
	}
	first := client()
	if err := scan(first); err != nil {
		t.Fatal(err)
	}
	if err := scan(first); err != nil {
		t.Fatal(err)
	}
	refused(scan(first), 451)
	refused(scan(client()), 454)
	if err := send(smtpClient(t, s, s.password.Reveal()), demoMailbox); err != nil {
		t.Errorf("with a password: %v", err)
	}
}
