package demo

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

const smtpHello = `
	S: 220 smtp.gmail.com ESMTP <id> - gsmtp
	C: EHLO me
	S: 250-smtp.gmail.com at your service, [<ip>]
	S: 250-SIZE 35882577
	S: 250-8BITMIME
	S: 250-AUTH LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH
	S: 250-ENHANCEDSTATUSCODES
	S: 250-PIPELINING
	S: 250-CHUNKING
	S: 250 SMTPUTF8
`

// smtpLogin wants the message of XOAUTH2.
const smtpLogin = smtpHello + `
	C: AUTH XOAUTH2 %s
	S: 235 2.7.0 Accepted`

const badCredentials = `
	S: 535-5.7.8 Username and Password not accepted. For more information, go to
	S: 535 5.7.8  https://support.google.com/mail/?p=BadCredentials <id> - gsmtp
`

const passwordRefused = `
	S: 534-5.7.9 Application-specific password required. For more information, go to
	S: 534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor <id> - gsmtp
`

const wantAuth = `
	S: 530-5.7.0 Authentication Required. For more information, go to
	S: 530 5.7.0  https://support.google.com/mail/?p=WantAuthError <id> - gsmtp
`

func TestSMTPBeforeLogin(t *testing.T) {
	p := start(t, Options{})
	c := dial(t, p, p.SMTP)
	c.talk(`
	S: 220 smtp.gmail.com ESMTP <id> - gsmtp
	C: AUTH XOAUTH2 x
	S: 503 5.5.1 EHLO/HELO first. <id> - gsmtp
	C: EHLO
	S: 501 5.5.4 HELO/EHLO argument is invalid. <id> - gsmtp
	C: HELO me
	S: 250 smtp.gmail.com at your service
	C: MAIL FROM:<alice@gmail.com>` + wantAuth + `
	C: NOOP
	S: 250 2.0.0 OK <id> - gsmtp
	C: RSET
	S: 250 2.1.5 Flushed <id> - gsmtp
	C: STARTTLS
	S: 502 5.5.1 Unrecognized command. <id> - gsmtp
	C: AUTH CRAM-MD5
	S: 504 5.7.4 Unrecognized Authentication Type. <id> - gsmtp
	C: AUTH LOGIN
	S: 334 VXNlcm5hbWU6
	C: YWxpY2U=
	S: 334 UGFzc3dvcmQ6
	C: cGFzcw==` + passwordRefused + `
	C: AUTH LOGIN YWxpY2U=
	S: 334 UGFzc3dvcmQ6
	C: cGFzcw==` + passwordRefused + `
	C: AUTH PLAIN AGFsaWNlAHBhc3M=` + passwordRefused + `
	C: AUTH PLAIN
	S: 334 
	C: AGFsaWNlAHBhc3M=` + passwordRefused + `
	C: QUIT
	S: 221 2.0.0 closing connection <id> - gsmtp`)
	c.expectEnd()
}

func TestSMTPLogin(t *testing.T) {
	p := start(t, Options{})
	tok := connect(t, p, alice).AccessToken
	for name, dialogue := range map[string]string{
		"XOAUTH2 at once":      "C: AUTH XOAUTH2 " + xoauth2(alice, tok),
		"XOAUTH2 in two steps": "C: auth xoauth2\nS: 334 \nC: " + xoauth2(alice, tok),
		"OAUTHBEARER at once":  "C: AUTH OAUTHBEARER " + oauthBearer(alice, tok),
		"OAUTHBEARER in two":   "C: AUTH OAUTHBEARER\nS: 334 \nC: " + oauthBearer(alice, tok),
		"after a refusal":      "C: AUTH XOAUTH2 " + xoauth2(alice, "bad") + "\nS: 334 " + xoauth2Challenge + "\nC: " + badCredentials + "C: AUTH XOAUTH2 " + xoauth2(alice, tok),
		"in two, 12 kB":        "C: AUTH XOAUTH2\nS: 334 \nC: " + xoauth2(alice, strings.Repeat("x", 8000)) + "\nS: 334 " + xoauth2Challenge + "\nC: " + badCredentials + "C: AUTH XOAUTH2 " + xoauth2(alice, tok),
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, p, p.SMTP)
			c.talk(smtpHello + dialogue + `
				S: 235 2.7.0 Accepted
				C: NOOP
				S: 250 2.0.0 OK <id> - gsmtp`)
		})
	}
}

func TestSMTPRefusesTokens(t *testing.T) {
	p := start(t, Options{})
	tok := connect(t, p, alice).AccessToken
	dial(t, p, p.SMTP).talk(smtpHello+`
	C: AUTH XOAUTH2 %s
	S: 334 eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ==
	C: `+badCredentials+`
	C: AUTH OAUTHBEARER %s
	S: 334 eyJzdGF0dXMiOiJpbnZhbGlkX3JlcXVlc3QiLCJzY29wZSI6Imh0dHBzOi8vbWFpbC5nb29nbGUuY29tLyJ9
	C: AQ==`+badCredentials+`
	C: AUTH XOAUTH2 ????
	S: 501-5.5.2 Cannot Decode response. For more information, go to
	S: 501 5.5.2  https://support.google.com/a/answer/3221692 <id> - gsmtp
	C: AUTH XOAUTH2
	S: 334 
	C: ????
	S: 501-5.5.2 Cannot Decode response. For more information, go to
	S: 501 5.5.2  https://support.google.com/a/answer/3221692 <id> - gsmtp
	C: AUTH XOAUTH2
	S: 334 
	C: *
	S: 501 5.5.2 Cannot Decode response. <id> - gsmtp`, xoauth2(bob, tok), oauthBearer(alice, "x"))
}

// 697 characters of token fit on one line at Gmail; a service account's 1024 do not.
func TestSMTPLineLimit(t *testing.T) {
	p := start(t, Options{})
	dial(t, p, p.SMTP).talk(smtpHello+`
	C: AUTH XOAUTH2 %s
	S: 334 %s
	C: `+badCredentials, xoauth2(alice, strings.Repeat("x", 697)), xoauth2Challenge)
	c := dial(t, p, p.SMTP)
	c.talk(smtpHello+`
	C: AUTH XOAUTH2 %s
	S: 555-5.5.2 Syntax error, command line too long. For more information, go to
	S: 555 5.5.2  https://support.google.com/a/answer/3221692 and review RFC 5321 specifications. <id> - gsmtp`,
		xoauth2(alice, strings.Repeat("x", 1024)))
	c.expectEnd()

	c = dial(t, p, p.SMTP)
	c.expect("220 <*>")
	c.send("NOOP\n")
	c.talk("S: 555 5.5.2 Syntax error, goodbye. <id> - gsmtp")
	c.expectEnd()
}

func TestSMTPStartTLS(t *testing.T) {
	p := start(t, Options{})
	tok := connect(t, p, alice).AccessToken
	raw, err := net.Dial("tcp", p.SMTPStartTLS)
	if err != nil {
		t.Fatal(err)
	}
	c := newPeer(t, raw)
	c.talk(`
	S: 220 smtp.gmail.com ESMTP <id> - gsmtp
	C: EHLO me
	S: 250-smtp.gmail.com at your service, [<ip>]
	S: 250-SIZE 35882577
	S: 250-8BITMIME
	S: 250-STARTTLS
	S: 250-ENHANCEDSTATUSCODES
	S: 250-PIPELINING
	S: 250-CHUNKING
	S: 250 SMTPUTF8
	C: AUTH XOAUTH2 x
	S: 530 5.7.0 Must issue a STARTTLS command first. <id> - gsmtp
	C: MAIL FROM:<alice@gmail.com>
	S: 530 5.7.0 Must issue a STARTTLS command first. <id> - gsmtp
	C: STARTTLS
	S: 220 2.0.0 Ready to start TLS`)
	c = newPeer(t, tls.Client(raw, &tls.Config{RootCAs: p.CAs, ServerName: "localhost"}))
	c.talk(`
	C: AUTH XOAUTH2 x
	S: 503 5.5.1 EHLO/HELO first. <id> - gsmtp`)
	c.talk(strings.ReplaceAll(smtpLogin, "S: 220 smtp.gmail.com ESMTP <id> - gsmtp\n", ""), xoauth2(alice, tok))
	c.talk(`
	C: STARTTLS
	S: 454 5.5.1 STARTTLS may not be repeated. <id> - gsmtp`)
}

func TestSMTPAfterLogin(t *testing.T) {
	p := start(t, Options{})
	c := dial(t, p, p.SMTP)
	c.talk(smtpLogin+`
	C: RCPT TO:<bob@gmail.com>
	S: 503 5.5.1 MAIL first. <id> - gsmtp
	C: AUTH XOAUTH2 x
	S: 503 5.7.0 No identity changes permitted. <id> - gsmtp
	C: MAIL FROM:<alice@gmail.com> SIZE=35882578
	S: 552 5.2.3 Your message exceeded Google's message size limits. <id> - gsmtp
	C: MAIL FROM:<alice@gmail.com> SIZE=35882577 BODY=8BITMIME SMTPUTF8
	S: 250 2.1.0 OK <id> - gsmtp
	C: DATA
	S: 503 5.5.1 RCPT first. <id> - gsmtp
	C: RCPT TO:<bob+list@GMAIL.com>
	S: 250 2.1.5 OK <id> - gsmtp
	C: RCPT TO:<bob@gmail.com>
	S: 250 2.1.5 OK <id> - gsmtp
	C: RCPT TO:<stranger@example.org>
	S: 250 2.1.5 OK <id> - gsmtp
	C: BDAT 10`, xoauth2(alice, connect(t, p, alice).AccessToken))
	c.send("Subject:\r\nBDAT 7 LAST\r\n.\r\r\nx\r\n")
	c.talk(`
	S: 250 2.0.0 OK <id> - gsmtp
	S: 250 2.0.0 OK  <id> <id> - gsmtp
	C: FROB
	S: 502 5.5.1 Unrecognized command. <id> - gsmtp
	C: RSET
	S: 250 2.1.5 Flushed <id> - gsmtp
	C: EHLO again
	S: 250-smtp.gmail.com at your service, [<ip>]
	S: 250-SIZE 35882577
	S: 250-8BITMIME
	S: 250-AUTH LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH
	S: 250-ENHANCEDSTATUSCODES
	S: 250-PIPELINING
	S: 250-CHUNKING
	S: 250 SMTPUTF8
	C: QUIT
	S: 221 2.0.0 closing connection <id> - gsmtp`)
	c.expectEnd()
	for mailbox, folder := range map[string]string{bob: "INBOX", alice: sentFolder} {
		got, err := p.Messages(mailbox, folder)
		if err != nil || len(got) != 1 || string(got[0]) != "Subject:\r\n.\r\r\nx\r\n" {
			t.Errorf("%s of %s: %q, %v", folder, mailbox, got, err)
		}
	}
}

// xoauth2Client is a SASL client that go-sasl lacks. Its message goes on a line
// of its own, which go-smtp's client does if Start returns none.
type xoauth2Client struct {
	user, token string
	split       bool
	challenged  []byte
}

func (x *xoauth2Client) message() []byte {
	return []byte("user=" + x.user + "\x01auth=Bearer " + x.token + "\x01\x01")
}

func (x *xoauth2Client) Start() (string, []byte, error) {
	if x.split {
		return "XOAUTH2", nil, nil
	}
	return "XOAUTH2", x.message(), nil
}

func (x *xoauth2Client) Next(challenge []byte) ([]byte, error) {
	if x.split && len(challenge) == 0 {
		return x.message(), nil
	}
	x.challenged = challenge
	return []byte{}, nil
}

var _ sasl.Client = (*xoauth2Client)(nil)

func dialSMTP(t *testing.T, p *Provider) *smtp.Client {
	t.Helper()
	c, err := smtp.DialTLS(p.SMTP, &tls.Config{RootCAs: p.CAs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestSMTPByGoSMTP(t *testing.T) {
	p := start(t, Options{})
	tok := connect(t, p, alice).AccessToken
	message := "Subject: dots\r\n\r\n.\r\n..\r\n.x\r\nFrom here\r\n" + strings.Repeat("long ", 14000) + "\r\n\xff\xfe8-bit\r\n"
	for _, client := range []sasl.Client{
		&xoauth2Client{user: alice, token: tok},
		&xoauth2Client{user: alice, token: tok, split: true},
		sasl.NewOAuthBearerClient(&sasl.OAuthBearerOptions{Username: alice, Token: tok}),
	} {
		c := dialSMTP(t, p)
		if err := c.Auth(client); err != nil {
			t.Fatal(err)
		}
		if err := c.SendMail(alice, []string{alice, bob}, strings.NewReader(message)); err != nil {
			t.Fatal(err)
		}
		if err := c.Quit(); err != nil {
			t.Error(err)
		}
	}
	for _, where := range [][2]string{{alice, "INBOX"}, {bob, "INBOX"}, {alice, sentFolder}} {
		got, err := p.Messages(where[0], where[1])
		if err != nil || len(got) != 3 {
			t.Fatalf("%s: %d messages, %v", where, len(got), err)
		}
		for _, m := range got {
			if string(m) != message {
				t.Errorf("%s: changed on its way, %d octets of %d", where, len(m), len(message))
			}
		}
	}

	bad := &xoauth2Client{user: alice, token: "bad"}
	var refused *smtp.SMTPError
	if err := dialSMTP(t, p).Auth(bad); !errors.As(err, &refused) || refused.Code != 535 || !bytes.Contains(bad.challenged, []byte(`"status":"400"`)) {
		t.Errorf("a bad token: %v after %s", err, bad.challenged)
	}
}

// By BDAT: go-smtp reads DATA octet by octet.
func TestSMTPSizeLimit(t *testing.T) {
	p := start(t, Options{})
	c := dial(t, p, p.SMTP)
	c.talk(smtpLogin, xoauth2(alice, connect(t, p, alice).AccessToken))
	message := bytes.Repeat([]byte("x"), smtpSize+1)
	for size, want := range map[int]string{
		smtpSize:     "250 2.0.0 OK  <id> <id> - gsmtp",
		smtpSize + 1: "552 5.2.3 Your message exceeded Google's message size limits. <id> - gsmtp",
	} {
		c.talk(`
		C: MAIL FROM:<alice@gmail.com>
		S: 250 2.1.0 OK <id> - gsmtp
		C: RCPT TO:<bob@gmail.com>
		S: 250 2.1.5 OK <id> - gsmtp
		C: BDAT %d LAST`, size)
		if _, err := c.Write(message[:size]); err != nil {
			t.Fatal(err)
		}
		c.expect(want)
	}
	if got, err := p.Messages(bob, "INBOX"); err != nil || len(got) != 1 || len(got[0]) != smtpSize {
		t.Errorf("%d messages, %v", len(got), err)
	}
}

func TestSMTPFaults(t *testing.T) {
	p := start(t, Options{})
	tok := connect(t, p, alice).AccessToken
	for fault, want := range map[MailFault]string{
		MailRefuse:    "S: 334 " + xoauth2Challenge + "\nC: " + badCredentials,
		MailDisabled:  "S: 535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.",
		MailTooMany:   "S: 454 4.7.0 Too many login attempts, please try again later. <id> - gsmtp",
		MailTemporary: "S: 454 4.7.0 Cannot authenticate due to temporary system problem. Try again later. <id> - gsmtp",
		MailWebLogin:  "S: 534-5.7.14 <https://accounts.google.com/signin/continue?<*>\nS: 534-5.7.14 Please log in via your web browser and then try again.\nS: 534-5.7.14  Learn more at\nS: 534 5.7.14  https://support.google.com/mail/answer/78754 <id> - gsmtp",
	} {
		p.Faults.Mail("smtp", fault)
		dial(t, p, p.SMTP).talk(smtpHello+"C: AUTH XOAUTH2 %s\n"+want, xoauth2(alice, tok))
	}

	p.Faults.Mail("smtp", MailCut)
	c := dial(t, p, p.SMTP)
	c.expect("220 <*>")
	c.expectEnd()

	p.Faults.Mail("smtp", MailNormal)
	c = dial(t, p, p.SMTP)
	c.talk(smtpLogin+`
	C: MAIL FROM:<alice@gmail.com>
	S: 250 2.1.0 OK <id> - gsmtp
	C: RCPT TO:<bob@gmail.com>
	S: 250 2.1.5 OK <id> - gsmtp
	C: DATA
	S: 354  Go ahead <id> - gsmtp`, xoauth2(alice, tok))
	p.Faults.Mail("smtp", MailCutMessage)
	fmt.Fprintf(c, "%s\r\n", strings.Repeat("x\r\n", 1000))
	c.expectEnd()
	if got, _ := p.Messages(bob, "INBOX"); len(got) != 0 {
		t.Error("half a message was delivered")
	}

	p.Faults.Mail("smtp", MailNormal)
	c = dial(t, p, p.SMTP)
	c.talk(smtpLogin, xoauth2(alice, tok))
	p.Faults.Mail("smtp", MailBye)
	c.talk("S: 451 4.4.2 Timeout - closing connection. <id> - gsmtp")
	c.expectEnd()
}
