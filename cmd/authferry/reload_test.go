package main

import (
	"net"
	"strings"
	"testing"

	"authferry/internal/config"
	"authferry/internal/testport"
)

// TestReloadHandsOverAnAddress: an address can change from plain to STARTTLS; if
// another listener fails, it does not change.
func TestReloadHandsOverAnAddress(t *testing.T) {
	t.Parallel()
	s, _ := newShow(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()

	address := testport.Free(t)
	fixed := *s.service.InForce()
	fixed.Listen = []config.Listener{listen(t, "imap://"+address)}
	if err := s.service.Reload(&fixed); err != nil {
		t.Fatal(err)
	}
	mustLogin(t, "imap", address, demoMailbox, s.password.Reveal())

	wanting := fixed
	wanting.Listen = []config.Listener{listen(t, "imap+starttls://"+address), listen(t, "smtp://"+taken.Addr().String())}
	if err := s.service.Reload(&wanting); err == nil || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Fatalf("a listener that cannot be had: %v", err)
	}
	mustLogin(t, "imap", address, demoMailbox, s.password.Reveal())

	secured := fixed
	secured.Listen = []config.Listener{listen(t, "imap+starttls://"+address)}
	if err := s.service.Reload(&secured); err != nil {
		t.Fatal(err)
	}
	if got := s.service.Status().Listeners; len(got) != 1 || got[0].URL != "imap+starttls://"+address {
		t.Errorf("listeners %v", got)
	}
	// A login in the clear is refused there, whatever the password: [PRIVACYREQUIRED].
	_, err = tryLogin("imap", address, demoMailbox, s.password.Reveal())
	if err == nil || !strings.Contains(err.Error(), "PRIVACYREQUIRED") {
		t.Errorf("a login in the clear: %v", err)
	}
}

func listen(t *testing.T, url string) config.Listener {
	t.Helper()
	l, _, err := config.ParseListener(url)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestReloadAlerts: the hooks of the new configuration are in force.
func TestReloadAlerts(t *testing.T) {
	t.Parallel()
	s, _ := newShow(t)
	if got := s.service.Watcher.Try(t.Context()); len(got) != 0 {
		t.Fatalf("hooks without a configuration: %v", got)
	}
	c := *s.service.InForce()
	c.Alert.MailTo = []string{demoMailbox}
	if err := s.service.Reload(&c); err != nil {
		t.Fatal(err)
	}
	got := s.service.Watcher.Try(t.Context())
	if len(got) != 1 || got[0].Hook != "mail" || got[0].Err != nil {
		t.Errorf("%v", got)
	}
	if mails, err := s.gmail.Messages(demoMailbox, "INBOX"); err != nil || !strings.Contains(string(mails[len(mails)-1]), "this is a test") {
		t.Errorf("%d mails, %v", len(mails), err)
	}
}
