package mailserver

import (
	"strings"

	"authferry/demo/fault"
	"authferry/demo/mailstore"
	"authferry/demo/random"
)

// pop3LineLimit is generous: RFC 2449 §4 allows 255 octets, and no token fits.
const pop3LineLimit = 16 << 10

// CAPA before login; after it, SASL goes and PIPELINING comes.
const (
	pop3CapsBefore = "USER\r\nRESP-CODES\r\nEXPIRE 0\r\nLOGIN-DELAY 300\r\nTOP\r\nUIDL\r\nX-GOOGLE-RICO\r\nSASL PLAIN XOAUTH2 OAUTHBEARER"
	pop3CapsAfter  = "USER\r\nRESP-CODES\r\nPIPELINING\r\nEXPIRE 0\r\nLOGIN-DELAY 300\r\nTOP\r\nUIDL\r\nX-GOOGLE-RICO"
)

const appPasswordPOP3 = "-ERR [AUTH] Application-specific password required: https://support.google.com/accounts/answer/185833"

// pop3Faults are the refusals of a right token at its login. A mailbox
// without POP refuses the first command after it, as reported of Gmail.
var pop3Faults = map[fault.MailFault]string{
	fault.MailTooMany:   "-ERR [IN-USE] Too many simultaneous connections.",
	fault.MailTemporary: "-ERR [SYS/TEMP] Temporary system problem. Please try again later.",
	fault.MailWebLogin:  "-ERR [AUTH] Web login required: https://support.google.com/mail/answer/78754",
}

const pop3Disabled = "-ERR [SYS/PERM] Your account is not enabled for POP access. Please visit your Gmail settings page and enable your account for POP access."

// pop3Talk is the dialogue before login.
type pop3Talk struct{ *conn }

// talkPOP3 speaks Gmail's POP3 up to the login, then serves the INBOX.
func talkPOP3(c *conn) { (&pop3Talk{c}).run() }

// run answers commands until the client logs in or leaves.
func (t *pop3Talk) run() {
	t.id = random.Hex(10)
	t.printf("+OK Gpop ready for requests from %s %s\r\n", t.address(), t.id)
	if t.fault() == fault.MailCut {
		t.cut("after the greeting")
		return
	}
	for {
		line, err := t.readLine(pop3LineLimit)
		if err != nil {
			t.badLine(err)
			return
		}
		name, args, _ := strings.Cut(line, " ")
		switch strings.ToUpper(name) {
		case "CAPA":
			t.printf("+OK Capability list follows\r\n%s\r\n.\r\n", pop3CapsBefore)
		case "USER":
			t.printf("+OK send PASS\r\n")
		case "PASS":
			t.refusePassword()
		case "AUTH":
			if !t.authenticate(args) {
				return
			}
		case "NOOP":
			t.printf("+OK\r\n")
		case "QUIT":
			t.printf("+OK Farewell.\r\n")
			return
		default:
			t.printf("-ERR bad command\r\n")
		}
	}
}

func (t *pop3Talk) badLine(err error) {
	switch err {
	case errBareLF:
		t.printf("-ERR malformed command\r\n")
	case errLineTooLong:
		t.printf("-ERR line too long\r\n")
		t.linger()
	}
}

func (t *pop3Talk) refusePassword() {
	t.logf("a password was refused: only OAuth opens this mailbox")
	t.printf("%s\r\n", appPasswordPOP3)
}

// authenticate answers an AUTH command (RFC 5034). It returns false when the dialogue
// is over: the client has gone, or its session was served to its end.
func (t *pop3Talk) authenticate(args string) bool {
	mechanism, encoded, initial := strings.Cut(args, " ")
	mechanism = strings.ToUpper(mechanism)
	switch {
	case mechanism == "": // a bare AUTH asks for the list (draft-myers-sasl-pop3)
		t.printf("+OK\r\nPLAIN\r\nXOAUTH2\r\nOAUTHBEARER\r\n.\r\n")
		return true
	case !isBearer(mechanism) && mechanism != "PLAIN":
		t.printf("-ERR unsupported SASL mechanism\r\n")
		return true
	}
	if !initial {
		t.printf("+ \r\n")
		var err error
		if encoded, err = t.readLine(pop3LineLimit); err != nil {
			t.badLine(err)
			return false
		}
	}
	if encoded == "*" {
		t.printf("-ERR authentication cancelled\r\n")
		return true
	}
	if !isBearer(mechanism) {
		t.refusePassword()
		return true
	}
	cr, err := parseBearer(mechanism, encoded)
	if err != nil {
		t.printf("-ERR malformed command\r\n")
		return true
	}
	m, _, ok := t.login(cr)
	if !ok {
		t.printf("+ %s\r\n", challenge(mechanism))
		if _, err := t.readLine(pop3LineLimit); err != nil {
			t.badLine(err)
			return false
		}
		t.printf("-ERR [AUTH] Username and password not accepted.\r\n")
		return true
	}
	return t.welcome(mechanism, m)
}

// welcome answers a right token: with a fault, or with the mailbox.
func (t *pop3Talk) welcome(mechanism string, m *mailstore.Mailbox) bool {
	injected := t.fault()
	if refusal, ok := pop3Faults[injected]; ok {
		t.logf("%s refused: fault %q", m.Address(), injected)
		t.printf("%s\r\n", refusal)
		return true
	}
	t.logf("%s logged in with %s", m.Address(), mechanism)
	t.printf("+OK Welcome.\r\n")
	t.serve(m)
	t.logf("%s is gone", m.Address())
	return false
}
