package server

import (
	"testing"

	"authferry/internal/certs"
	"authferry/internal/config"
	"authferry/internal/mailsettings"
	"authferry/proxy"
)

// TestMailServices: what programs elsewhere are told to connect to, by the
// listener, the hostname and the names of the certificate.
func TestMailServices(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		listen, hostname string
		acme             []string
		bound            string
		want             mailsettings.Service
	}{
		{"imaps://:993", "mail.example.com", nil, "", mailsettings.Service{Protocol: "imap", Host: "mail.example.com", Port: 993, Security: proxy.Implicit}},
		{"imaps://[::]:993", "box", nil, "", mailsettings.Service{Protocol: "imap", Host: "box", Port: 993, Security: proxy.Implicit}},
		{"imaps://:993", "box", []string{"mail.example.com"}, "", mailsettings.Service{Protocol: "imap", Host: "mail.example.com", Port: 993, Security: proxy.Implicit}},
		{"imaps://:993", "MAIL.example.com", []string{"a.example.com", "mail.example.com"}, "", mailsettings.Service{Protocol: "imap", Host: "MAIL.example.com", Port: 993, Security: proxy.Implicit}},
		{"smtp+starttls://192.0.2.1:587", "mail.example.com", nil, "", mailsettings.Service{Protocol: "smtp", Host: "mail.example.com", Port: 587, Security: proxy.StartTLS}},
		{"smtp+starttls://192.0.2.1:587", "box", nil, "", mailsettings.Service{Protocol: "smtp", Host: "192.0.2.1", Port: 587, Security: proxy.StartTLS}},
		{"smtp+insecure://192.0.2.1:2525", "mail.example.com", nil, "", mailsettings.Service{Protocol: "smtp", Host: "192.0.2.1", Port: 2525}},
		{"pop3://localhost:1110", "mail.example.com", nil, "", mailsettings.Service{Protocol: "pop3", Host: "127.0.0.1", Port: 1110}},
		{"imap://[::1]:0", "mail.example.com", nil, "[::1]:4711", mailsettings.Service{Protocol: "imap", Host: "::1", Port: 4711}},
		{"imap://127.0.0.1:0", "mail.example.com", nil, "", mailsettings.Service{}},
		{"imaps+systemd:mail:993", "mail.example.com", nil, "", mailsettings.Service{Protocol: "imap", Host: "mail.example.com", Port: 993, Security: proxy.Implicit}},
		{"imap+systemd:mail:1143", "mail.example.com", nil, "", mailsettings.Service{Protocol: "imap", Host: "127.0.0.1", Port: 1143}},
		{"imaps+systemd:mail", "mail.example.com", nil, "", mailsettings.Service{}},
		{"imaps+systemd:mail", "mail.example.com", nil, "[::]:993", mailsettings.Service{Protocol: "imap", Host: "mail.example.com", Port: 993, Security: proxy.Implicit}},
	} {
		l, _, err := config.ParseListener(c.listen)
		if err != nil {
			t.Fatal(err)
		}
		config := &config.Config{Hostname: c.hostname, Listen: []config.Listener{l}}
		config.TLS.ACME = certs.ACME{On: c.acme != nil, Hosts: c.acme}
		bound := map[string]string{}
		if c.bound != "" {
			bound[c.listen] = c.bound
		}
		got := append(MailServices(config, bound), mailsettings.Service{})
		if got[0] != c.want {
			t.Errorf("%s, %s: %+v instead of %+v", c.listen, c.hostname, got[0], c.want)
		}
	}
	l, _, err := config.ParseListener("imaps://:993")
	if err != nil {
		t.Fatal(err)
	}
	l.Options.Allow = "192.0.2.0/24"
	if got := MailServices(&config.Config{Listen: []config.Listener{l}}, nil); !got[0].Reserved {
		t.Error("a listener for some is told to all")
	}
}

func TestSecurityName(t *testing.T) {
	if got := SecurityName(proxy.Either); got != "SSL/TLS or STARTTLS" {
		t.Error(got)
	}
}
