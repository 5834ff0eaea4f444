package demo

import "strings"

// pop3LineLimit is generous: RFC 2449 §4 allows 255 octets, and no token fits.
const pop3LineLimit = 16 << 10

// CAPA before login; after it, SASL goes and PIPELINING comes.
const (
	pop3CapsBefore = "USER\r\nRESP-CODES\r\nEXPIRE 0\r\nLOGIN-DELAY 300\r\nTOP\r\nUIDL\r\nX-GOOGLE-RICO\r\nSASL PLAIN XOAUTH2 OAUTHBEARER"
	pop3CapsAfter  = "USER\r\nRESP-CODES\r\nPIPELINING\r\nEXPIRE 0\r\nLOGIN-DELAY 300\r\nTOP\r\nUIDL\r\nX-GOOGLE-RICO"
)

const appPasswordPOP3 = "-ERR [AUTH] Application-specific password required: https://support.google.com/accounts/answer/185833"

// pop3Faults are the refusals a right token can meet at its login. A mailbox
// without POP meets its own at the first command after it, as reported of Gmail.
var pop3Faults = map[MailFault]string{
	MailTooMany:   "-ERR [IN-USE] Too many simultaneous connections.",
	MailTemporary: "-ERR [SYS/TEMP] Temporary system problem. Please try again later.",
	MailWebLogin:  "-ERR [AUTH] Web login required: https://support.google.com/mail/answer/78754",
}

const pop3Disabled = "-ERR [SYS/PERM] Your account is not enabled for POP access. Please visit your Gmail settings page and enable your account for POP access."

// pop3 speaks Gmail's POP3 up to the login, then serves the INBOX.
func (c *conn) pop3() {
	c.id = randomHex(10)
	c.printf("+OK Gpop ready for requests from %s %s\r\n", c.address(), c.id)
	if c.fault() == MailCut {
		c.cut("after the greeting")
		return
	}
	for {
		line, err := c.readLine(pop3LineLimit)
		if err != nil {
			c.pop3BadLine(err)
			return
		}
		name, args, _ := strings.Cut(line, " ")
		switch strings.ToUpper(name) {
		case "CAPA":
			c.printf("+OK Capability list follows\r\n%s\r\n.\r\n", pop3CapsBefore)
		case "USER":
			c.printf("+OK send PASS\r\n")
		case "PASS":
			c.refusePassword()
		case "AUTH":
			if !c.pop3Auth(args) {
				return
			}
		case "NOOP":
			c.printf("+OK\r\n")
		case "QUIT":
			c.printf("+OK Farewell.\r\n")
			return
		default:
			c.printf("-ERR bad command\r\n")
		}
	}
}

func (c *conn) pop3BadLine(err error) {
	switch err {
	case errBareLF:
		c.printf("-ERR malformed command\r\n")
	case errLineTooLong:
		c.printf("-ERR line too long\r\n")
		c.linger()
	}
}

func (c *conn) refusePassword() {
	c.logf("a password was refused: only OAuth opens this mailbox")
	c.printf("%s\r\n", appPasswordPOP3)
}

// pop3Auth hears an AUTH command (RFC 5034). It returns false when the dialogue
// is over: the client has gone, or its session was served to its end.
func (c *conn) pop3Auth(args string) bool {
	mechanism, encoded, initial := strings.Cut(args, " ")
	mechanism = strings.ToUpper(mechanism)
	switch {
	case mechanism == "": // a bare AUTH asks for the list (draft-myers-sasl-pop3)
		c.printf("+OK\r\nPLAIN\r\nXOAUTH2\r\nOAUTHBEARER\r\n.\r\n")
		return true
	case !isBearer(mechanism) && mechanism != "PLAIN":
		c.printf("-ERR unsupported SASL mechanism\r\n")
		return true
	}
	if !initial {
		c.printf("+ \r\n")
		var err error
		if encoded, err = c.readLine(pop3LineLimit); err != nil {
			c.pop3BadLine(err)
			return false
		}
	}
	if encoded == "*" {
		c.printf("-ERR authentication cancelled\r\n")
		return true
	}
	if !isBearer(mechanism) {
		c.refusePassword()
		return true
	}
	cr, err := parseBearer(mechanism, encoded)
	if err != nil {
		c.printf("-ERR malformed command\r\n")
		return true
	}
	a, _, ok := c.login(cr)
	if !ok {
		c.printf("+ %s\r\n", challenge(mechanism))
		if _, err := c.readLine(pop3LineLimit); err != nil {
			c.pop3BadLine(err)
			return false
		}
		c.printf("-ERR [AUTH] Username and password not accepted.\r\n")
		return true
	}
	return c.pop3Welcome(mechanism, a)
}

// pop3Welcome is what a right token meets: a fault, or the mailbox.
func (c *conn) pop3Welcome(mechanism string, a *account) bool {
	fault := c.fault()
	if refusal, ok := pop3Faults[fault]; ok {
		c.logf("%s refused: fault %q", a.address, fault)
		c.printf("%s\r\n", refusal)
		return true
	}
	c.logf("%s logged in with %s", a.address, mechanism)
	c.printf("+OK Welcome.\r\n")
	c.servePOP3(a)
	c.logf("%s is gone", a.address)
	return false
}
