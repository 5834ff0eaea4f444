package demo

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestStall(t *testing.T) {
	for _, protocol := range []string{"imap", "pop3", "smtp"} {
		t.Run(protocol, func(t *testing.T) {
			heard := make(chan struct{}, 1)
			p, err := Start(Options{Log: func(line string) {
				if strings.Contains(line, "left without a greeting") {
					heard <- struct{}{}
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			p.Faults.Mail(protocol, MailStall)
			address := map[string]string{"imap": p.IMAP, "pop3": p.POP3, "smtp": p.SMTP}[protocol]
			c := dial(t, p, address)
			<-heard
			c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			if _, err := c.r.ReadByte(); !os.IsTimeout(err) {
				t.Errorf("not stalled: %v", err)
			}
		})
	}
}

func TestEarlyTalkersAreCounted(t *testing.T) {
	p := start(t, Options{GreetingDelay: 10 * time.Second}) // ends at the first byte
	c := dial(t, p, p.IMAP)
	c.send("a CAPABILITY\r\n")
	c.expect("* OK Gimap<*>")
	if n := p.EarlyTalkers(); n != 1 {
		t.Errorf("%d early talkers over TLS", n)
	}
	raw, err := net.Dial("tcp", p.SMTPStartTLS)
	if err != nil {
		t.Fatal(err)
	}
	c = newPeer(t, raw)
	c.send("EHLO early\r\n")
	c.expect("220 <*>")
	if n := p.EarlyTalkers(); n != 2 {
		t.Errorf("%d early talkers in the clear", n)
	}
}

func TestPunctualClientsAreNotCounted(t *testing.T) {
	p := start(t, Options{GreetingDelay: 50 * time.Millisecond})
	for _, address := range []string{p.IMAP, p.POP3, p.SMTP} {
		dial(t, p, address).expect("<*>")
	}
	if n := p.EarlyTalkers(); n != 0 {
		t.Errorf("%d early talkers", n)
	}
}

func TestPlaintextAheadOfTheHandshakeIsRefused(t *testing.T) {
	p := start(t, Options{})
	raw, err := net.Dial("tcp", p.SMTPStartTLS)
	if err != nil {
		t.Fatal(err)
	}
	c := newPeer(t, raw)
	c.talk("S: 220 <*>\nC: EHLO me")
	for !strings.HasPrefix(c.expect("<*>"), "250 ") {
	}
	c.send("STARTTLS\r\nNOOP\r\n")
	c.expect("220 2.0.0 Ready to start TLS")
	c.expectEnd()
	if n := p.EarlyTalkers(); n != 1 {
		t.Errorf("counted %d", n)
	}
}

func TestCertificate(t *testing.T) {
	p := start(t, Options{})
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(p.CAPEM) || !pool.Equal(p.CAs) {
		t.Error("CAPEM and CAs differ")
	}
	tickets := tls.NewLRUClientSessionCache(4)
	for i, name := range []string{"localhost", "127.0.0.1", "::1", "localhost"} {
		c, err := tls.Dial("tcp", p.IMAP, &tls.Config{RootCAs: pool, ServerName: name, ClientSessionCache: tickets})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 10)); err != nil { // the ticket comes with the first read
			t.Fatal(err)
		}
		if resumed := c.ConnectionState().DidResume; resumed != (i == 3) {
			t.Errorf("connection %d to %s: resumed %v", i, name, resumed)
		}
		c.Close()
	}
	if _, err := tls.Dial("tcp", p.IMAP, &tls.Config{RootCAs: pool, ServerName: "imap.gmail.com"}); err == nil {
		t.Error("it vouches for Google")
	}
}

func TestCloseFreesEverything(t *testing.T) {
	p := start(t, Options{})
	tok := connect(t, p, alice).AccessToken
	idle, fresh := dial(t, p, p.IMAP), dial(t, p, p.SMTP)
	idle.talk(imapLogin, xoauth2(alice, tok))
	fresh.expect("220 <*>")
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	idle.expectEnd()
	fresh.expectEnd()
	taken := []string{p.IMAP, p.POP3, p.SMTP, p.SMTPStartTLS, strings.TrimSuffix(strings.TrimPrefix(p.TokenURL, "http://"), "/token")}
	for _, l := range p.listeners {
		taken = slices.DeleteFunc(taken, func(address string) bool { return address == l.Addr().String() })
		if err := l.Close(); !errors.Is(err, net.ErrClosed) { // another process may listen there by now
			t.Errorf("%s is still open: %v", l.Addr(), err)
		}
	}
	if len(taken) > 0 {
		t.Errorf("not among the listeners that it closes: %s", taken)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestUnknownMailboxes(t *testing.T) {
	p := start(t, Options{})
	if p.Deliver("stranger@gmail.com", nil) == nil {
		t.Error("a message was delivered to nobody")
	}
	if _, err := p.Messages("stranger@gmail.com", "INBOX"); err == nil {
		t.Error("nobody has messages")
	}
	if _, err := p.Messages(alice, "[Gmail]"); err == nil {
		t.Error("a folder that holds none has messages")
	}
}

// Nothing that is told may carry a token.
func TestLogHasNoSecrets(t *testing.T) {
	var told []string
	p, err := Start(Options{Mailboxes: []string{alice}, Log: func(line string) { told = append(told, line) }})
	if err != nil {
		t.Fatal(err)
	}
	p.Faults.Rotate(true)
	tok := connect(t, p, alice)
	_, m := refresh(t, p, tok.RefreshToken)
	refresh(t, p, "1//0secret")
	dial(t, p, p.POP3).talk("S: <*>\nC: AUTH XOAUTH2 %s\nS: +OK Welcome.\nC: QUIT\nS: +OK Farewell.", xoauth2(alice, tok.AccessToken))
	dial(t, p, p.IMAP).talk(imapRefusal, "XOAUTH2", xoauth2(alice, "ya29.bad"), xoauth2Challenge, "")
	p.Close() // told is complete
	all := strings.Join(told, "\n")
	for _, secret := range []string{tok.AccessToken, tok.RefreshToken, m["access_token"].(string), m["refresh_token"].(string), p.ClientSecret, "ya29.", "1//0"} {
		if strings.Contains(all, secret) {
			t.Error("a secret was told")
		}
	}
	for _, want := range []string{
		"oauth: alice@gmail.com allowed https://mail.google.com/",
		"oauth: refreshed the access token of alice@gmail.com",
		": alice@gmail.com logged in with XOAUTH2",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("nobody was told %q in\n%s", want, all)
		}
	}
}
