package demo

import (
	"bufio"
	"bytes"
	"io"
	"net/textproto"
	"strings"
	"testing"
)

const pop3Greeting = `S: +OK Gpop ready for requests from <ip> <id>
`

// pop3Login wants the message of XOAUTH2.
const pop3Login = pop3Greeting + `
	C: AUTH XOAUTH2 %s
	S: +OK Welcome.`

func TestPOP3BeforeLogin(t *testing.T) {
	p := start(t, Options{})
	c := dial(t, p, p.POP3)
	c.talk(pop3Greeting + `
	C: CAPA
	S: +OK Capability list follows
	S: USER
	S: RESP-CODES
	S: EXPIRE 0
	S: LOGIN-DELAY 300
	S: TOP
	S: UIDL
	S: X-GOOGLE-RICO
	S: SASL PLAIN XOAUTH2 OAUTHBEARER
	S: .
	C: AUTH
	S: +OK
	S: PLAIN
	S: XOAUTH2
	S: OAUTHBEARER
	S: .
	C: user alice@gmail.com
	S: +OK send PASS
	C: PASS word
	S: -ERR [AUTH] Application-specific password required: https://support.google.com/accounts/answer/185833
	C: AUTH PLAIN
	S: + 
	C: AGFsaWNlAHBhc3M=
	S: -ERR [AUTH] Application-specific password required: https://support.google.com/accounts/answer/185833
	C: AUTH LOGIN
	S: -ERR unsupported SASL mechanism
	C: STLS
	S: -ERR bad command
	C: STAT
	S: -ERR bad command
	C: NOOP
	S: +OK
	C: QUIT
	S: +OK Farewell.`)
	c.expectEnd()

	c = dial(t, p, p.POP3)
	c.expect("+OK <*>")
	c.send("CAPA\n")
	c.talk("S: -ERR malformed command")
	c.expectEnd()
}

func TestPOP3Login(t *testing.T) {
	p := start(t, Options{})
	tok := connect(t, p, alice).AccessToken
	const refused = "\nS: -ERR [AUTH] Username and password not accepted.\n"
	for name, dialogue := range map[string]string{
		"XOAUTH2 at once":        "C: AUTH XOAUTH2 " + xoauth2(alice, tok),
		"XOAUTH2 in two lines":   "C: auth xoauth2\nS: + \nC: " + xoauth2(alice, tok),
		"OAUTHBEARER at once":    "C: AUTH OAUTHBEARER " + oauthBearer(alice, tok),
		"OAUTHBEARER in two":     "C: AUTH OAUTHBEARER\nS: + \nC: " + oauthBearer(alice, tok),
		"the recent ones":        "C: AUTH XOAUTH2 " + xoauth2("recent:"+alice, tok),
		"after a refusal":        "C: AUTH XOAUTH2 " + xoauth2(bob, tok) + "\nS: + " + xoauth2Challenge + "\nC: " + refused + "C: AUTH XOAUTH2 " + xoauth2(alice, tok),
		"after another":          "C: AUTH OAUTHBEARER " + oauthBearer("recent:"+bob, tok) + "\nS: + " + oauthBearerChallenge + "\nC: AQ==" + refused + "C: AUTH XOAUTH2 " + xoauth2(alice, tok),
		"after it was cancelled": "C: AUTH XOAUTH2\nS: + \nC: *\nS: -ERR authentication cancelled\nC: AUTH XOAUTH2 " + xoauth2(alice, tok),
		"after nonsense":         "C: AUTH XOAUTH2 ????\nS: -ERR malformed command\nC: AUTH XOAUTH2 " + xoauth2(alice, tok),
	} {
		t.Run(name, func(t *testing.T) {
			dial(t, p, p.POP3).talk(pop3Greeting + dialogue + "\nS: +OK Welcome.\nC: STAT\nS: +OK 0 0")
		})
	}
}

func TestPOP3Maildrop(t *testing.T) {
	p := start(t, Options{})
	tok := connect(t, p, alice).AccessToken
	for _, m := range []string{"Subject: one\r\n\r\n.dot\r\n..\r\n.\r\nlast", "Subject: two\r\n\r\na\r\nb\r\nc\r\n", ""} {
		if err := p.Deliver(alice, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	c := dial(t, p, p.POP3)
	c.talk(pop3Login+`
	C: CAPA
	S: +OK Capability list follows
	S: USER
	S: RESP-CODES
	S: PIPELINING
	S: EXPIRE 0
	S: LOGIN-DELAY 300
	S: TOP
	S: UIDL
	S: X-GOOGLE-RICO
	S: .
	C: STAT
	S: +OK 3 58
	C: LIST
	S: +OK message sizes follow
	S: 1 33
	S: 2 25
	S: 3 0
	S: .
	C: LIST 2
	S: +OK 2 25
	C: LIST 4
	S: -ERR no such message
	C: UIDL
	S: +OK UIDs follow
	S: 1 GmailId0000000100000001
	S: 2 GmailId0000000100000002
	S: 3 GmailId0000000100000003
	S: .
	C: UIDL 2
	S: +OK 2 GmailId0000000100000002
	C: RETR 1
	S: +OK message follows
	S: Subject: one
	S: 
	S: ..dot
	S: ...
	S: ..
	S: last
	S: .
	C: RETR 3
	S: +OK message follows
	S: .
	C: TOP 2 2
	S: +OK message follows
	S: Subject: two
	S: 
	S: a
	S: b
	S: .
	C: TOP 2 99
	S: +OK message follows
	S: Subject: two
	S: 
	S: a
	S: b
	S: c
	S: .
	C: TOP 2
	S: -ERR malformed command
	C: LAST
	S: -ERR Not supported
	C: FROB
	S: -ERR bad command
	C: DELE 1
	S: +OK
	C: DELE 1
	S: -ERR no such message
	C: STAT
	S: +OK 2 25
	C: RSET
	S: +OK
	C: NOOP
	S: +OK
	C: STAT
	S: +OK 3 58
	C: DELE 2
	S: +OK`, xoauth2(alice, tok))

	// A session that breaks off deletes nothing (RFC 1939 §6).
	c.Close()
	c = dial(t, p, p.POP3)
	c.talk(pop3Login+`
	C: STAT
	S: +OK 3 58
	C: DELE 2
	S: +OK`, xoauth2(alice, tok))
	p.Deliver(alice, []byte("Subject: meanwhile\r\n\r\n"))
	c.talk(`
	C: QUIT
	S: +OK Farewell.`)
	c.expectEnd()
	if got, err := p.Messages(alice, "INBOX"); err != nil || len(got) != 3 || len(got[1]) != 0 || !bytes.Contains(got[2], []byte("meanwhile")) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestPOP3BigMessage(t *testing.T) {
	p := start(t, Options{})
	message := []byte("Subject: big\r\n\r\n" + strings.Repeat(".x\r\n"+strings.Repeat("y", 70000)+"\r\n", 100))
	p.Deliver(alice, message)
	c := dial(t, p, p.POP3)
	c.talk(pop3Login+"\nC: RETR 1\nS: +OK message follows", xoauth2(alice, connect(t, p, alice).AccessToken))
	got, err := io.ReadAll(textproto.NewReader(bufio.NewReader(c.r)).DotReader())
	if want := bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d octets of %d, %v", len(got), len(want), err)
	}
}

func TestPOP3Faults(t *testing.T) {
	p := start(t, Options{})
	tok := connect(t, p, alice).AccessToken
	p.Deliver(alice, []byte(strings.Repeat("x\r\n", 10000)))
	for fault, want := range map[MailFault]string{
		MailRefuse:    "S: + " + xoauth2Challenge + "\nC: \nS: -ERR [AUTH] Username and password not accepted.",
		MailDisabled:  "S: +OK Welcome.\nC: STAT\nS: -ERR [SYS/PERM] Your account is not enabled for POP access. Please visit your Gmail settings page and enable your account for POP access.\nC: QUIT\nS: +OK Farewell.",
		MailTooMany:   "S: -ERR [IN-USE] Too many simultaneous connections.",
		MailTemporary: "S: -ERR [SYS/TEMP] Temporary system problem. Please try again later.",
		MailWebLogin:  "S: -ERR [AUTH] Web login required: https://support.google.com/mail/answer/78754",
	} {
		p.Faults.Mail("pop3", fault)
		dial(t, p, p.POP3).talk(pop3Greeting+"C: AUTH XOAUTH2 %s\n"+want, xoauth2(alice, tok))
	}

	p.Faults.Mail("pop3", MailCut)
	c := dial(t, p, p.POP3)
	c.talk(pop3Greeting)
	c.expectEnd()

	p.Faults.Mail("pop3", MailNormal)
	c = dial(t, p, p.POP3)
	c.talk(pop3Login, xoauth2(alice, tok))
	p.Faults.Mail("pop3", MailCutMessage)
	c.talk("C: RETR 1\nS: +OK message follows")
	if n, err := c.r.Discard(30000); err == nil || n < 10000 || n > 20000 {
		t.Errorf("%d octets, %v", n, err)
	}

	p.Faults.Mail("pop3", MailNormal)
	c = dial(t, p, p.POP3)
	c.talk(pop3Login, xoauth2(alice, tok))
	p.Faults.Mail("pop3", MailBye)
	c.expectEnd()
}
