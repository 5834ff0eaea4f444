package demo

import (
	"fmt"
	"strconv"
	"strings"
	"time"
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

// imapFaults are the refusals a right token can meet.
var imapFaults = map[MailFault]string{
	MailDisabled:  "NO [ALERT] Your account is not enabled for IMAP use. Please visit your Gmail settings page and enable your account for IMAP access. (Failure)",
	MailTooMany:   "NO [ALERT] Too many simultaneous connections. (Failure)",
	MailTemporary: "NO Temporary System Problem. Try again later. (Failure)",
	MailWebLogin:  "NO [ALERT] Please log in via your web browser: https://support.google.com/mail/accounts/answer/78754 (Failure)",
}

// imap speaks Gmail's IMAP up to the login, then hands the connection over.
func (c *conn) imap() {
	c.id = imapID()
	c.printf("* OK Gimap ready for requests from %s %s\r\n", c.address(), c.id)
	if c.fault() == MailCut {
		c.cut("after the greeting")
		return
	}
	for {
		line, err := c.readLine(imapLineLimit)
		if err != nil {
			c.imapBadLine(line, err)
			return
		}
		tag, rest, _ := strings.Cut(line, " ")
		name, args, _ := strings.Cut(rest, " ")
		switch strings.ToUpper(name) {
		case "CAPABILITY":
			c.printf("* CAPABILITY %s\r\n%s OK Thats all she wrote! %s\r\n", imapCapsBefore, tag, c.id)
		case "ID":
			c.printf("* ID (\"name\" \"GImap\" \"vendor\" \"Google, Inc.\" \"support-url\" \"https://support.google.com/mail\" \"remote-host\" \"%s\" \"connection-token\" \"%s\")\r\n%s OK Success %s\r\n",
				c.address(), c.id, tag, c.id)
		case "NOOP":
			c.printf("%s OK Success %s\r\n", tag, c.id)
		case "LOGOUT":
			c.printf("* BYE Logout Requested %s\r\n%s OK Quoth the raven, nevermore... %s\r\n", c.id, tag, c.id)
			return
		case "LOGIN":
			if !c.imapLogin(tag, args) {
				return
			}
		case "AUTHENTICATE":
			if !c.imapAuthenticate(tag, args) {
				return
			}
		default:
			c.printf("%s BAD Unknown command %s\r\n", tag, c.id)
		}
	}
}

func (c *conn) imapBadLine(line string, err error) {
	switch err {
	case errBareLF:
		tag, _, _ := strings.Cut(line, " ")
		c.printf("%s BAD Could not parse command %s\r\n", tag, c.id)
	case errLineTooLong:
		c.printf("* BAD Command line too long %s\r\n", c.id)
		c.linger()
	}
}

// imapLogin hears a password out, literals included, and refuses it. It
// returns false when the client has gone.
func (c *conn) imapLogin(tag, args string) bool {
	for {
		n, sync, ok := literalAtEnd(args)
		if !ok {
			break
		}
		if sync {
			c.printf("+ go ahead\r\n")
		}
		if _, err := c.r.Discard(n); err != nil {
			return false
		}
		rest, err := c.readLine(imapLineLimit)
		if err != nil {
			return false
		}
		args = rest
	}
	c.logf("a password was refused: only OAuth opens this mailbox")
	c.printf("%s %s\r\n", tag, appPasswordIMAP)
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

// imapAuthenticate returns false when the dialogue is over: the client has
// gone, or its session was served to its end.
func (c *conn) imapAuthenticate(tag, args string) bool {
	mechanism, encoded, initial := strings.Cut(args, " ")
	mechanism = strings.ToUpper(mechanism)
	if !isBearer(mechanism) && mechanism != "PLAIN" && mechanism != "PLAIN-CLIENTTOKEN" {
		c.printf("%s BAD Unknown SASL mechanism %s\r\n", tag, c.id)
		return true
	}
	if !initial {
		c.printf("+ \r\n")
		var err error
		if encoded, err = c.readLine(imapLineLimit); err != nil {
			c.imapBadLine(tag, err)
			return false
		}
	}
	if encoded == "*" {
		c.printf("%s BAD Client aborted AUTHENTICATE command. %s\r\n", tag, c.id)
		return true
	}
	if !isBearer(mechanism) {
		c.logf("a password was refused: only OAuth opens this mailbox")
		c.printf("%s %s\r\n", tag, appPasswordIMAP)
		return true
	}
	cr, err := parseBearer(mechanism, encoded)
	if err != nil {
		c.printf("%s BAD Invalid SASL argument. %s\r\n", tag, c.id)
		return true
	}
	a, id, ok := c.login(cr)
	if !ok {
		return c.imapRefuse(tag, mechanism, cr.user)
	}
	return c.imapWelcome(tag, mechanism, a, id)
}

// imapRefuse challenges first; the refusal waits for the client's answer,
// whatever it is.
func (c *conn) imapRefuse(tag, mechanism, user string) bool {
	c.printf("+ %s\r\n", challenge(mechanism))
	answer, err := c.readLine(imapLineLimit)
	switch {
	case err != nil:
		c.imapBadLine(tag, err)
		return false
	case answer == "*":
		c.printf("%s BAD Client aborted AUTHENTICATE command. %s\r\n", tag, c.id)
	case c.fault() == MailNormal && c.p.accounts[canonical(user)] == nil:
		// Seen with the address of a service account: jstedfast/MailKit#1786.
		c.printf("%s NO Lookup failed %s\r\n", tag, c.id)
	default:
		c.printf("%s %s\r\n", tag, imapRefused)
	}
	return true
}

// imapWelcome is what a right token meets: a fault, or the mailbox. It returns
// true if the client may try again.
func (c *conn) imapWelcome(tag, mechanism string, a *account, id identity) bool {
	fault := c.fault()
	refusal, refused := imapFaults[fault]
	if !refused && !a.enter(c.p.options.MaxSessions) {
		fault, refusal, refused = MailTooMany, imapFaults[MailTooMany], true
	}
	if refused {
		c.logf("%s refused: fault %q", a.address, fault)
		if fault == MailWebLogin {
			c.printf("* NO [WEBALERT https://accounts.google.com/signin/continue?sarp=1&scc=1&plt=%s] Web login required.\r\n", randomToken(40))
		}
		c.printf("%s %s\r\n", tag, refusal)
		return true
	}
	defer a.leave()
	c.logf("%s logged in with %s", a.address, mechanism)
	c.printf("* CAPABILITY %s\r\n%s OK %s authenticated (Success)\r\n", c.imapCaps(), tag, a.address)
	c.serveIMAP(a, c.sessionLife(id))
	c.logf("%s is gone", a.address)
	return false
}

func (c *conn) imapCaps() string {
	if c.p.options.AllCapabilities {
		return imapCapsGmail
	}
	return imapCapsServed
}

// sessionLife is how long a session may last; negative: for good.
func (c *conn) sessionLife(id identity) time.Duration {
	if life := c.p.options.SessionLife; life != 0 {
		return life
	}
	return max(time.Until(id.expires), 0)
}

// imapID is a session's id in Gmail's form: x2mb241876667wmk.
func imapID() string {
	return fmt.Sprintf("%s%dmb%09d%s", randomLetters(1), randomBelow(90)+2, randomBelow(1e9), randomLetters(3))
}
