package server

import (
	"net"
	"strings"
	"testing"

	"authferry/internal/config"
	"authferry/proxy"
)

func handed(t *testing.T, name, address string) *handedSocket {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return &handedSocket{name: name, TCPListener: ln.(*net.TCPListener)}
}

func TestHandedSockets(t *testing.T) {
	t.Parallel()
	one, two := handed(t, "mail", "127.0.0.1:0"), handed(t, "mail", "127.0.0.1:0")
	other, everywhere := handed(t, "other", "127.0.0.1:0"), handed(t, "wide", "0.0.0.0:0")
	sockets := []*handedSocket{one, two, other, everywhere}
	port := func(s *handedSocket) string { _, port, _ := net.SplitHostPort(s.Addr().String()); return port }

	for url, want := range map[string]*handedSocket{
		"imap+systemd:other":                    other,
		"imaps+systemd:mail:" + port(one):       one,
		"imap+either+systemd:mail:" + port(two): two,
		"smtp+insecure+systemd:wide":            everywhere,
		"smtp+starttls+systemd:wide":            everywhere,
	} {
		ln, err := listenHanded(listener(t, url), sockets)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if ln.Addr().String() != want.Addr().String() {
			t.Errorf("%s listens on %s, not on %s", url, ln.Addr(), want.Addr())
		}
		// Closed and opened again, as by a reload: the socket itself stays.
		ln.Close()
		if ln, err = listenHanded(listener(t, url), sockets); err != nil {
			t.Errorf("%s, the second time: %v", url, err)
			continue
		}
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Errorf("%s: %v", url, err)
		} else {
			conn.Close()
		}
		ln.Close()
	}
	for url, want := range map[string]string{
		"imap+systemd:mail":    "2 sockets named \"mail\"",
		"imap+systemd:none":    "no socket \"none\", but mail:",
		"imap+systemd:other:1": "no socket \"other:1\"",
		"imap+systemd:wide":    "could be read on the network",
	} {
		if _, err := listenHanded(listener(t, url), sockets); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", url, err, want)
		}
	}
	if _, err := listenHanded(listener(t, "imap+systemd:mail"), nil); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("without systemd: %v", err)
	}
	urls := []config.Listener{listener(t, "imap+systemd:mail:"+port(one)), listener(t, "pop3+insecure+systemd:wide")}
	err := unclaimed(urls, sockets)
	if err == nil || strings.Contains(err.Error(), ":"+port(one)) || !strings.Contains(err.Error(), "mail:"+port(two)) || !strings.Contains(err.Error(), "other:"+port(other)) {
		t.Errorf("unclaimed: %v", err)
	}
	if err := unclaimed(urls, []*handedSocket{one, everywhere}); err != nil {
		t.Errorf("all are claimed: %v", err)
	}
	if l := listener(t, "pop3+starttls+systemd:mail"); l.Protocol != "pop3" || l.Security != proxy.StartTLS {
		t.Errorf("%+v", l)
	}
}

func listener(t *testing.T, url string) config.Listener {
	t.Helper()
	l, _, err := config.ParseListener(url)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
