package config

import (
	"strings"
	"testing"

	"authferry/internal/protocol"
	"authferry/proxy"
)

func TestParseListen(t *testing.T) {
	for _, test := range []struct {
		url      string
		protocol string
		security proxy.Security
		address  string
	}{
		{"imap://127.0.0.1:1143", "imap", proxy.Plain, "127.0.0.1:1143"},
		{"pop3://[::1]:1110", "pop3", proxy.Plain, "[::1]:1110"},
		{"smtp://localhost:0", "smtp", proxy.Plain, "127.0.0.1:0"},
		{"smtp://localhost", "smtp", proxy.Plain, "127.0.0.1:587"},
		{"imaps://:993/", "imap", proxy.Implicit, ":993"},
		{"imaps://", "imap", proxy.Implicit, ":993"},
		{"pop3s://192.0.2.1", "pop3", proxy.Implicit, "192.0.2.1:995"},
		{"smtps://[2001:db8::1]", "smtp", proxy.Implicit, "[2001:db8::1]:465"},
		{"imap+starttls://192.0.2.1", "imap", proxy.StartTLS, "192.0.2.1:143"},
		{"pop3+starttls://127.0.0.1:110", "pop3", proxy.StartTLS, "127.0.0.1:110"},
		{"imap+insecure://0.0.0.0:143", "imap", proxy.Plain, "0.0.0.0:143"},
		{"smtp+insecure://", "smtp", proxy.Plain, ":587"},
		{"imap+either://192.0.2.1", "imap", proxy.Either, "192.0.2.1:143"},
		{"imaps+insecure://192.0.2.1", "imap", proxy.Implicit, "192.0.2.1:993"},
		{"imap+starttls+insecure://", "imap", proxy.StartTLS, ":143"},
		{"smtp+either+insecure://", "smtp", proxy.Either, ":587"},
	} {
		l, _, err := ParseListener(test.url)
		if err != nil {
			t.Errorf("%s: %v", test.url, err)
			continue
		}
		want := Listener{test.url, protocol.Protocol(test.protocol), test.security, test.address, strings.Contains(test.url, "+insecure"), listenOptions{}}
		if l != want {
			t.Errorf("%s: got %+v", test.url, l)
		}
	}
}

func TestParseListenRefuses(t *testing.T) {
	for url, want := range map[string]string{
		"imap://0.0.0.0:143":              "imap+insecure://",
		"pop3://:110":                     "pop3+insecure://",
		"smtp://192.0.2.1":                "smtp+insecure://",
		"smtp://mail.example.org":         `"mail.example.org" is not an IP address`,
		"imapss://":                       `unknown scheme "imapss", did you mean imaps?`,
		"imaps+starttls://":               "which +starttls contradicts",
		"imaps+either://":                 "imap+either:// is written without the s",
		"imaps+starttls+insecure://":      "which +starttls contradicts",
		"imap+tls://127.0.0.1":            "after imap+ comes starttls, either or insecure",
		"imap+systemd:":                   "has a name",
		"imaps+systemd:mail:imaps":        "has a name, and a port",
		"imaps+systemd://mail":            "has a name",
		"imapz+systemd:mail":              "unknown scheme",
		"http://127.0.0.1":                "unknown scheme",
		"127.0.0.1:1143":                  "not a listen URL",
		"":                                "not a listen URL",
		"imap://127.0.0.1:70000":          "not from 0 to 65535",
		"imap://127.0.0.1/inbox":          "nothing else",
		"imap://user:secret@127.0.0.1":    "nothing else",
		"imap://127.0.0.1:x":              "nothing else",
		"imap+insecure+starttls://[::1]/": "unknown scheme",
	} {
		_, hint, err := ParseListener(url)
		if err == nil {
			t.Errorf("%q is accepted", url)
		} else if all := err.Error() + "; " + hint; !strings.Contains(all, want) || strings.Contains(all, "secret") {
			t.Errorf("%q: %s\nwant %s", url, all, want)
		}
	}
}
