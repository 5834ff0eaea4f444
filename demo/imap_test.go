package demo

import (
	"strings"
	"testing"
	"time"
)

const imapGreeting = `S: * OK Gimap ready for requests from <ip> <id>
`

// imapRefusal wants the mechanism, its message, the challenge and the answer to it.
const imapRefusal = imapGreeting + `
	C: a AUTHENTICATE %s %s
	S: + %s
	C: %s
	S: a NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)`

// imapLogin wants the message of XOAUTH2.
const imapLogin = imapGreeting + `
	C: a AUTHENTICATE XOAUTH2 %s
	S: * CAPABILITY ` + imapCapsServed + `
	S: a OK alice@gmail.com authenticated (Success)`

func TestIMAPBeforeLogin(t *testing.T) {
	p := start(t, Options{})
	c := dial(t, p, p.IMAP)
	c.talk(imapGreeting + `
	C: a.1 capability
	S: * CAPABILITY IMAP4rev1 UNSELECT IDLE NAMESPACE QUOTA ID XLIST CHILDREN X-GM-EXT-1 XYZZY SASL-IR AUTH=XOAUTH2 AUTH=PLAIN AUTH=PLAIN-CLIENTTOKEN AUTH=OAUTHBEARER
	S: a.1 OK Thats all she wrote! <id>
	C: b ID ("name" "test")
	S: * ID ("name" "GImap" "vendor" "Google, Inc." "support-url" "https://support.google.com/mail" "remote-host" "<ip>" "connection-token" "<id>")
	S: b OK Success <id>
	C: c NOOP
	S: c OK Success <id>
	C: d SELECT INBOX
	S: d BAD Unknown command <id>
	C: e LOGIN alice@gmail.com password
	S: e NO [ALERT] Application-specific password required: https://support.google.com/accounts/answer/185833 (Failure)
	C: f LOGIN {15}
	S: + go ahead
	C: alice@gmail.com {4+}
	C: pass
	S: f NO [ALERT] Application-specific password required: https://support.google.com/accounts/answer/185833 (Failure)
	C: g AUTHENTICATE PLAIN AGFsaWNlAHBhc3M=
	S: g NO [ALERT] Application-specific password required: https://support.google.com/accounts/answer/185833 (Failure)
	C: h AUTHENTICATE CRAM-MD5
	S: h BAD Unknown SASL mechanism <id>
	C: i LOGOUT
	S: * BYE Logout Requested <id>
	S: i OK Quoth the raven, nevermore... <id>`)
	c.expectEnd()
}

func TestIMAPLogin(t *testing.T) {
	p := start(t, Options{})
	tok := connect(t, p, alice).AccessToken
	for name, dialogue := range map[string]string{
		"XOAUTH2 at once":         "C: a AUTHENTICATE XOAUTH2 " + xoauth2(alice, tok),
		"XOAUTH2 in two steps":    "C: a authenticate xoauth2\nS: + \nC: " + xoauth2(alice, tok),
		"XOAUTH2, any case":       "C: a AUTHENTICATE XOAUTH2 " + xoauth2("Alice@Gmail.com", tok),
		"OAUTHBEARER at once":     "C: a AUTHENTICATE OAUTHBEARER " + oauthBearer(alice, tok),
		"OAUTHBEARER in two":      "C: a AUTHENTICATE OAUTHBEARER\nS: + \nC: " + oauthBearer(alice, tok),
		"after a refusal":         "C: x AUTHENTICATE XOAUTH2 " + xoauth2(alice, "bad") + "\nS: + " + xoauth2Challenge + "\nC: \nS: x NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)\nC: a AUTHENTICATE XOAUTH2 " + xoauth2(alice, tok),
		"after it was cancelled":  "C: x AUTHENTICATE XOAUTH2\nS: + \nC: *\nS: x BAD Client aborted AUTHENTICATE command. <id>\nC: a AUTHENTICATE XOAUTH2 " + xoauth2(alice, tok),
		"after an empty response": "C: x AUTHENTICATE XOAUTH2 =\nS: + " + xoauth2Challenge + "\nC: \nS: x NO Lookup failed <id>\nC: a AUTHENTICATE XOAUTH2 " + xoauth2(alice, tok),
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, p, p.IMAP)
			c.talk(imapGreeting + dialogue + `
				S: * CAPABILITY IMAP4rev1 UNSELECT IDLE NAMESPACE ID CHILDREN UIDPLUS ENABLE MOVE ESEARCH UTF8=ACCEPT LIST-EXTENDED LIST-STATUS LITERAL- SPECIAL-USE APPENDLIMIT=35651584
				S: a OK alice@gmail.com authenticated (Success)
				C: b NOOP
				S: b OK NOOP completed`)
		})
	}
}

func TestIMAPRefusesTokens(t *testing.T) {
	p := start(t, Options{})
	tok := connect(t, p, alice).AccessToken
	const xChallenge = "eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ=="
	const bChallenge = "eyJzdGF0dXMiOiJpbnZhbGlkX3JlcXVlc3QiLCJzY29wZSI6Imh0dHBzOi8vbWFpbC5nb29nbGUuY29tLyJ9"
	for name, c := range map[string]struct{ mechanism, message, challenge, answer string }{
		"unknown":              {"XOAUTH2", xoauth2(alice, "ya29.x"), xChallenge, ""},
		"unknown, OAUTHBEARER": {"OAUTHBEARER", oauthBearer(alice, "ya29.x"), bChallenge, "AQ=="},
		"of somebody else":     {"XOAUTH2", xoauth2(bob, tok), xChallenge, ""},
		"of somebody, bearer":  {"OAUTHBEARER", oauthBearer(bob, tok), bChallenge, "AQ=="},
		"answered at length":   {"XOAUTH2", xoauth2(bob, tok), xChallenge, xoauth2(bob, tok)},
	} {
		t.Run(name, func(t *testing.T) {
			dial(t, p, p.IMAP).talk(imapRefusal, c.mechanism, c.message, c.challenge, c.answer)
		})
	}
	dial(t, p, p.IMAP).talk(imapGreeting+`
	C: a AUTHENTICATE XOAUTH2 %s
	S: + %s
	C: 
	S: a NO Lookup failed <id>
	C: b AUTHENTICATE XOAUTH2 %s
	S: + %s
	C: 
	S: b NO Lookup failed <id>
	C: b AUTHENTICATE XOAUTH2 ????
	S: b BAD Invalid SASL argument. <id>
	C: c AUTHENTICATE XOAUTH2 %s
	S: + %s
	C: *
	S: c BAD Client aborted AUTHENTICATE command. <id>`,
		xoauth2("service@project.iam.gserviceaccount.com", tok), xChallenge,
		xoauth2("recent:"+alice, tok), xChallenge, // POP3's alone
		xoauth2(alice, "x"), xChallenge)
}

func TestIMAPAfterLogin(t *testing.T) {
	p := start(t, Options{})
	tok := connect(t, p, alice).AccessToken
	c := dial(t, p, p.IMAP)
	c.talk(imapLogin, xoauth2(alice, tok))
	// All at once: answers written here must not overtake imapserver's.
	c.send("b NOOP\r\nc ID NIL\r\nd APPEND INBOX {5+}\r\nhello\r\ne CAPABILITY\r\nf NOOP\r\n")
	c.talk(`
	S: b OK NOOP completed
	S: * ID ("name" "GImap" "vendor" "Google, Inc." "support-url" "https://support.google.com/mail" "version" "<id>_<*>" "remote-host" "<ip>")
	S: c OK Success
	S: d OK [APPENDUID 1 1] APPEND completed
	S: * CAPABILITY ` + imapCapsServed + `
	S: e OK Success
	S: f OK NOOP completed
	C: g APPEND INBOX {99999999}
	S: g NO [TOOBIG] Literals are limited to 35651584 bytes for this command
	C: h ID NIL
	S: * ID <*>
	S: h OK Success
	C: i APPEND INBOX {9}
	S: + Ready for literal data
	C: x ID NIL
	S: i OK [APPENDUID 1 2] APPEND completed
	C: j COMPRESS DEFLATE
	S: j BAD Unknown command
	C: k LOGOUT
	S: * BYE LOGOUT Requested
	S: k OK 73 good day (Success)`)
	c.expectEnd()
	if got, err := p.Messages(alice, "inbox"); err != nil || len(got) != 2 || string(got[0]) != "hello" || string(got[1]) != "x ID NIL\r" {
		t.Errorf("stored %q, %v", got, err)
	}
}

func TestIMAPAllCapabilities(t *testing.T) {
	p := start(t, Options{AllCapabilities: true})
	dial(t, p, p.IMAP).talk(imapGreeting+`
	C: a AUTHENTICATE XOAUTH2 %s
	S: * CAPABILITY IMAP4rev1 UNSELECT IDLE NAMESPACE QUOTA ID XLIST CHILDREN X-GM-EXT-1 UIDPLUS COMPRESS=DEFLATE ENABLE MOVE CONDSTORE ESEARCH UTF8=ACCEPT LIST-EXTENDED LIST-STATUS LITERAL- SPECIAL-USE APPENDLIMIT=35651584
	S: a OK alice@gmail.com authenticated (Success)`, xoauth2(alice, connect(t, p, alice).AccessToken))
}

func TestIMAPSessionEndsWithItsToken(t *testing.T) {
	t.Parallel()
	p := start(t, Options{TokenLife: 3 * time.Second}) // time enough to log in, even on a busy machine
	c := dial(t, p, p.IMAP)
	c.talk(imapLogin+`
	C: b SELECT INBOX`, xoauth2(alice, connect(t, p, alice).AccessToken))
	for !strings.HasPrefix(c.expect("<*>"), "b OK") {
	}
	c.talk(`
	C: c IDLE
	S: + idling
	S: * BYE Session expired, please login again.`)
	c.expectEnd()
}

func TestIMAPSessionLifeIsAKnob(t *testing.T) {
	p := start(t, Options{SessionLife: time.Nanosecond})
	c := dial(t, p, p.IMAP)
	c.talk(imapLogin+`
	S: * BYE Session expired, please login again.`, xoauth2(alice, connect(t, p, alice).AccessToken))
	c.expectEnd()

	p = start(t, Options{SessionLife: -1})
	tok := connect(t, p, alice).AccessToken
	c = dial(t, p, p.IMAP)
	c.talk(imapLogin, xoauth2(alice, tok))
	p.ExpireAccessTokens()
	c.talk("C: b NOOP\nS: b OK NOOP completed")
}

func TestIMAPSessionLimit(t *testing.T) {
	p := start(t, Options{MaxSessions: 2})
	tok := connect(t, p, alice).AccessToken
	first, second, third := dial(t, p, p.IMAP), dial(t, p, p.IMAP), dial(t, p, p.IMAP)
	first.talk(imapLogin, xoauth2(alice, tok))
	second.talk(imapLogin, xoauth2(alice, tok))
	third.talk(imapGreeting+`
	C: a AUTHENTICATE XOAUTH2 %s
	S: a NO [ALERT] Too many simultaneous connections. (Failure)`, xoauth2(alice, tok))
	dial(t, p, p.IMAP).talk(strings.ReplaceAll(imapLogin, "alice", "bob"), xoauth2(bob, connect(t, p, bob).AccessToken))
}

func TestIMAPFaults(t *testing.T) {
	p := start(t, Options{})
	tok := connect(t, p, alice).AccessToken
	for fault, want := range map[MailFault]string{
		MailRefuse:    "S: + " + xoauth2Challenge + "\nC: \nS: a NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)",
		MailDisabled:  "S: a NO [ALERT] Your account is not enabled for IMAP use. Please visit your Gmail settings page and enable your account for IMAP access. (Failure)",
		MailTooMany:   "S: a NO [ALERT] Too many simultaneous connections. (Failure)",
		MailTemporary: "S: a NO Temporary System Problem. Try again later. (Failure)",
		MailWebLogin:  "S: * NO [WEBALERT https://accounts.google.com/signin/continue?sarp=1&scc=1&plt=<*>] Web login required.\nS: a NO [ALERT] Please log in via your web browser: https://support.google.com/mail/accounts/answer/78754 (Failure)",
	} {
		p.Faults.Mail("imap", fault)
		dial(t, p, p.IMAP).talk(imapGreeting+"C: a AUTHENTICATE XOAUTH2 %s\n"+want, xoauth2(alice, tok))
	}
	p.Faults.Mail("imap", MailNormal)
	dial(t, p, p.IMAP).talk(imapLogin, xoauth2(alice, tok))
}

func TestIMAPCut(t *testing.T) {
	p := start(t, Options{})
	tok := connect(t, p, alice).AccessToken
	p.Deliver(alice, []byte("Subject: long\r\n\r\n"+strings.Repeat("0123456789\r\n", 10000)))

	live := dial(t, p, p.IMAP)
	live.talk(imapLogin+"\nC: b EXAMINE INBOX", xoauth2(alice, tok))
	for !strings.HasPrefix(live.expect("<*>"), "b OK") {
	}
	p.Faults.Mail("imap", MailCutMessage)
	live.talk("C: c FETCH 1 BODY[]\nS: * 1 FETCH (UID 1 BODY[] {120017}")
	n, err := live.r.Discard(120017)
	if err == nil || n < 50000 || n > 65000 {
		t.Errorf("got %d octets of the message, %v", n, err)
	}

	p.Faults.Mail("imap", MailCut)
	c := dial(t, p, p.IMAP)
	c.talk(imapGreeting)
	c.expectEnd()
}

func TestBye(t *testing.T) {
	p := start(t, Options{})
	tok := connect(t, p, alice).AccessToken
	live := dial(t, p, p.IMAP)
	live.talk(imapLogin, xoauth2(alice, tok))
	p.Faults.Mail("imap", MailBye)
	live.talk("S: * BYE Session expired, please login again.")
	live.expectEnd()
	c := dial(t, p, p.IMAP)
	c.talk(imapLogin+"\nS: * BYE Session expired, please login again.", xoauth2(alice, tok))
	c.expectEnd()
}

func TestIMAPIsStrictAboutLines(t *testing.T) {
	p := start(t, Options{})
	c := dial(t, p, p.IMAP)
	c.expect("* OK <*>")
	c.send("a CAPABILITY\n")
	c.talk("S: a BAD Could not parse command <id>")
	c.expectEnd()

	c = dial(t, p, p.IMAP)
	c.expect("* OK <*>")
	c.send("a NOOP " + strings.Repeat("x", imapLineLimit) + "\r\n")
	c.talk("S: * BAD Command line too long <id>")
	c.expectEnd()
}
