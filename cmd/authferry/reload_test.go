package main

import (
	"net"
	"strings"
	"testing"

	"authferry/internal/testport"
	"authferry/proxy"
)

// TestReloadHandsOverAnAddress: one address may change from plain to STARTTLS;
// if another listener cannot be had, it is what it was.
func TestReloadHandsOverAnAddress(t *testing.T) {
	t.Parallel()
	s, _ := newShow(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()

	address := testport.Free(t)
	fixed := *s.service.config.Load()
	fixed.listen = []listenURL{listen(t, "imap://"+address)}
	if err := s.service.reload(&fixed); err != nil {
		t.Fatal(err)
	}
	mustLogin(t, "imap", address, demoMailbox, s.password.Reveal())

	wanting := fixed
	wanting.listen = []listenURL{listen(t, "imap+starttls://"+address), listen(t, "smtp://"+taken.Addr().String())}
	if err := s.service.reload(&wanting); err == nil || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Fatalf("a listener that cannot be had: %v", err)
	}
	mustLogin(t, "imap", address, demoMailbox, s.password.Reveal())

	secured := fixed
	secured.listen = []listenURL{listen(t, "imap+starttls://"+address)}
	if err := s.service.reload(&secured); err != nil {
		t.Fatal(err)
	}
	if len(s.service.listeners) != 1 || s.service.listeners[listenKey{serverKind{protocol: "imap", security: proxy.StartTLS}, address}] == nil {
		t.Errorf("listeners %v", s.service.listeners)
	}
	// A login in the clear is refused there, whatever the password: [PRIVACYREQUIRED].
	_, err = tryLogin("imap", address, demoMailbox, s.password.Reveal())
	if err == nil || !strings.Contains(err.Error(), "PRIVACYREQUIRED") {
		t.Errorf("a login in the clear: %v", err)
	}
}

func listen(t *testing.T, url string) listenURL {
	t.Helper()
	l, _, err := parseListen(url)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestReloadAlerts: the hooks of the new configuration are in force.
func TestReloadAlerts(t *testing.T) {
	t.Parallel()
	s, _ := newShow(t)
	if got := s.service.watcher.Try(t.Context()); len(got) != 0 {
		t.Fatalf("hooks without a configuration: %v", got)
	}
	c := *s.service.config.Load()
	c.alert.MailTo = []string{demoMailbox}
	if err := s.service.reload(&c); err != nil {
		t.Fatal(err)
	}
	got := s.service.watcher.Try(t.Context())
	if len(got) != 1 || got[0].Hook != "mail" || got[0].Err != nil {
		t.Errorf("%v", got)
	}
	if mails, err := s.gmail.Messages(demoMailbox, "INBOX"); err != nil || !strings.Contains(string(mails[len(mails)-1]), "this is a test") {
		t.Errorf("%d mails, %v", len(mails), err)
	}
}
