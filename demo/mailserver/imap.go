package mailserver

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"authferry/demo/fault"
	"authferry/demo/mailstore"
	"authferry/demo/random"
)

// What Gmail advertises before login (December 2025) and after it. The second
// list is what is really served here, in Gmail's order; the third is Gmail's own.
const (
	imapCapsBefore = "IMAP4rev1 UNSELECT IDLE NAMESPACE QUOTA ID XLIST CHILDREN X-GM-EXT-1 XYZZY SASL-IR AUTH=XOAUTH2 AUTH=PLAIN AUTH=PLAIN-CLIENTTOKEN AUTH=OAUTHBEARER"
	imapCapsServed = "IMAP4rev1 UNSELECT IDLE NAMESPACE ID CHILDREN UIDPLUS ENABLE MOVE ESEARCH UTF8=ACCEPT LIST-EXTENDED LIST-STATUS LITERAL- SPECIAL-USE APPENDLIMIT=35651584"
	imapCapsGmail  = "IMAP4rev1 UNSELECT IDLE NAMESPACE QUOTA ID XLIST CHILDREN X-GM-EXT-1 UIDPLUS COMPRESS=DEFLATE ENABLE MOVE CONDSTORE ESEARCH UTF8=ACCEPT LIST-EXTENDED LIST-STATUS LITERAL- SPECIAL-USE APPENDLIMIT=35651584"
)

// imapLineLimit: Gmail takes command lines "up to at least 16k" (MailKit,
// ImapEngine.cs).
const imapLineLimit = 64 << 10

const (
	appPasswordIMAP = "NO [ALERT] Application-specific password required: https://support.google.com/accounts/answer/185833 (Failure)"
	imapRefused     = "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)"
)

// imapFaults are the refusals of a right token.
var imapFaults = map[fault.MailFault]string{
	fault.MailDisabled:  "NO [ALERT] Your account is not enabled for IMAP use. Please visit your Gmail settings page and enable your account for IMAP access. (Failure)",
	fault.MailTooMany:   "NO [ALERT] Too many simultaneous connections. (Failure)",
	fault.MailTemporary: "NO Temporary System Problem. Try again later. (Failure)",
	fault.MailWebLogin:  "NO [ALERT] Please log in via your web browser: https://support.google.com/mail/accounts/answer/78754 (Failure)",
}

// imapTalk is the dialogue before login.
type imapTalk struct{ *conn }

// talkIMAP speaks Gmail's IMAP up to the login, then hands the connection over.
func talkIMAP(c *conn) { (&imapTalk{c}).run() }

// run answers commands until the client logs in or leaves.
func (t *imapTalk) run() {
	t.id = imapID()
	t.printf("* OK Gimap ready for requests from %s %s\r\n", t.address(), t.id)
	if t.fault() == fault.MailCut {
		t.cut("after the greeting")
		return
	}
	for {
		line, err := t.readLine(imapLineLimit)
		if err != nil {
			t.badLine(line, err)
			return
		}
		tag, rest, _ := strings.Cut(line, " ")
		name, args, _ := strings.Cut(rest, " ")
		switch strings.ToUpper(name) {
		case "CAPABILITY":
			t.printf("* CAPABILITY %s\r\n%s OK Thats all she wrote! %s\r\n", imapCapsBefore, tag, t.id)
		case "ID":
			t.printf("* ID (\"name\" \"GImap\" \"vendor\" \"Google, Inc.\" \"support-url\" \"https://support.google.com/mail\" \"remote-host\" \"%s\" \"connection-token\" \"%s\")\r\n%s OK Success %s\r\n",
				t.address(), t.id, tag, t.id)
		case "NOOP":
			t.printf("%s OK Success %s\r\n", tag, t.id)
		case "LOGOUT":
			t.printf("* BYE Logout Requested %s\r\n%s OK Quoth the raven, nevermore... %s\r\n", t.id, tag, t.id)
			return
		case "LOGIN":
			if !t.password(tag, args) {
				return
			}
		case "AUTHENTICATE":
			if !t.authenticate(tag, args) {
				return
			}
		default:
			t.printf("%s BAD Unknown command %s\r\n", tag, t.id)
		}
	}
}

func (t *imapTalk) badLine(line string, err error) {
	switch err {
	case errBareLF:
		tag, _, _ := strings.Cut(line, " ")
		t.printf("%s BAD Could not parse command %s\r\n", tag, t.id)
	case errLineTooLong:
		t.printf("* BAD Command line too long %s\r\n", t.id)
		t.linger()
	}
}

// password reads a password to its end, literals included, and refuses it. It
// returns false when the client has gone.
func (t *imapTalk) password(tag, args string) bool {
	for {
		n, sync, ok := literalAtEnd(args)
		if !ok {
			break
		}
		if sync {
			t.printf("+ go ahead\r\n")
		}
		if _, err := t.r.Discard(n); err != nil {
			return false
		}
		rest, err := t.readLine(imapLineLimit)
		if err != nil {
			return false
		}
		args = rest
	}
	t.logf("a password was refused: only OAuth opens this mailbox")
	t.printf("%s %s\r\n", tag, appPasswordIMAP)
	return true
}

// literalAtEnd reads "{5}" or "{5+}" at the end of a line: RFC 3501 §4.3, RFC 7888.
func literalAtEnd(line string) (n int, sync, ok bool) {
	open := strings.LastIndexByte(line, '{')
	if open < 0 || !strings.HasSuffix(line, "}") {
		return 0, false, false
	}
	size, plus := strings.CutSuffix(line[open+1:len(line)-1], "+")
	n, err := strconv.Atoi(size)
	if err != nil || n < 0 || n > 1<<30 {
		return 0, false, false
	}
	return n, !plus, true
}

// authenticate returns false when the dialogue is over: the client has
// gone, or its session was served to its end.
func (t *imapTalk) authenticate(tag, args string) bool {
	mechanism, encoded, initial := strings.Cut(args, " ")
	mechanism = strings.ToUpper(mechanism)
	if !isBearer(mechanism) && mechanism != "PLAIN" && mechanism != "PLAIN-CLIENTTOKEN" {
		t.printf("%s BAD Unknown SASL mechanism %s\r\n", tag, t.id)
		return true
	}
	if !initial {
		t.printf("+ \r\n")
		var err error
		if encoded, err = t.readLine(imapLineLimit); err != nil {
			t.badLine(tag, err)
			return false
		}
	}
	if encoded == "*" {
		t.printf("%s BAD Client aborted AUTHENTICATE command. %s\r\n", tag, t.id)
		return true
	}
	if !isBearer(mechanism) {
		t.logf("a password was refused: only OAuth opens this mailbox")
		t.printf("%s %s\r\n", tag, appPasswordIMAP)
		return true
	}
	cr, err := parseBearer(mechanism, encoded)
	if err != nil {
		t.printf("%s BAD Invalid SASL argument. %s\r\n", tag, t.id)
		return true
	}
	m, expires, ok := t.login(cr)
	if !ok {
		return t.refuse(tag, mechanism, cr.user)
	}
	return t.welcome(tag, mechanism, m, expires)
}

// refuse challenges first; the refusal waits for the client's answer,
// whatever it is.
func (t *imapTalk) refuse(tag, mechanism, user string) bool {
	t.printf("+ %s\r\n", challenge(mechanism))
	answer, err := t.readLine(imapLineLimit)
	switch {
	case err != nil:
		t.badLine(tag, err)
		return false
	case answer == "*":
		t.printf("%s BAD Client aborted AUTHENTICATE command. %s\r\n", tag, t.id)
	case t.fault() == fault.MailNormal && t.server.options.Store.Find(mailstore.Canonical(user)) == nil:
		// Seen with the address of a service account: jstedfast/MailKit#1786.
		t.printf("%s NO Lookup failed %s\r\n", tag, t.id)
	default:
		t.printf("%s %s\r\n", tag, imapRefused)
	}
	return true
}

// welcome answers a right token: with a fault, or with the mailbox. It returns
// true if the client may try again.
func (t *imapTalk) welcome(tag, mechanism string, m *mailstore.Mailbox, expires time.Time) bool {
	injected := t.fault()
	refusal, refused := imapFaults[injected]
	if !refused && !m.Enter(t.server.options.MaxSessions) {
		injected, refusal, refused = fault.MailTooMany, imapFaults[fault.MailTooMany], true
	}
	if refused {
		t.logf("%s refused: fault %q", m.Address(), injected)
		if injected == fault.MailWebLogin {
			t.printf("* NO [WEBALERT https://accounts.google.com/signin/continue?sarp=1&scc=1&plt=%s] Web login required.\r\n", random.Token(40))
		}
		t.printf("%s %s\r\n", tag, refusal)
		return true
	}
	defer m.Leave()
	t.logf("%s logged in with %s", m.Address(), mechanism)
	t.printf("* CAPABILITY %s\r\n%s OK %s authenticated (Success)\r\n", imapCaps(t.server), tag, m.Address())
	t.serve(m, t.sessionLife(expires))
	t.logf("%s is gone", m.Address())
	return false
}

// sessionLife is how long a session may last; negative: for good.
func (t *imapTalk) sessionLife(expires time.Time) time.Duration {
	if life := t.server.options.SessionLife; life != 0 {
		return life
	}
	return max(time.Until(expires), 0)
}

// imapID is a session's id in Gmail's form: x2mb241876667wmk.
func imapID() string {
	return fmt.Sprintf("%s%dmb%09d%s", random.Letters(1), random.Below(90)+2, random.Below(1e9), random.Letters(3))
}

// imapCaps returns what is advertised after login.
func imapCaps(s *Server) string {
	if s.options.AllCapabilities {
		return imapCapsGmail
	}
	return imapCapsServed
}
