package demo

import (
	"fmt"
	"strings"
)

const (
	// smtpSize is Gmail's message limit, as SIZE advertises it (RFC 1870).
	smtpSize = 35882577
	// smtpLineLimit: a one-line AUTH with a token of 697 characters works at
	// Gmail and longer ones fail (jstedfast/MailKit#1343,
	// eclipse-ee4j/angus-mail#201), so a client with a long token must send it
	// on a line of its own (RFC 4954 §4).
	smtpLineLimit = 1000
	// smtpSASLLimit is what RFC 4954 §4 asks servers to take on such a line.
	smtpSASLLimit = 12288
	// smtpUnknownLimit is how many unknown commands Gmail bears.
	smtpUnknownLimit = 10
)

// smtpFaults are the refusals a right token can meet. Gmail has no switch for
// SMTP; the words for one are Microsoft's.
var smtpFaults = map[MailFault][]string{
	MailDisabled:  {"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox."},
	MailTooMany:   {"454 4.7.0 Too many login attempts, please try again later. %s - gsmtp"},
	MailTemporary: {"454 4.7.0 Cannot authenticate due to temporary system problem. Try again later. %s - gsmtp"},
	MailWebLogin: {
		"534-5.7.14 <https://accounts.google.com/signin/continue?sarp=1&scc=1&plt=AKgnsbDemo",
		"534-5.7.14 Please log in via your web browser and then try again.",
		"534-5.7.14  Learn more at",
		"534 5.7.14  https://support.google.com/mail/answer/78754 %s - gsmtp",
	},
}

// smtpTalk is the dialogue before login.
type smtpTalk struct {
	*conn
	startTLSOffered bool   // port 587
	secure          bool   // TLS is on
	helo            string // what the client called itself; "": nothing yet
	unknown         int
}

// smtp speaks Gmail's SMTP up to the login, then hands the connection over.
func (c *conn) smtp() {
	c.id = fmt.Sprintf("%s-%ssm%df8f.%d", randomHex(13), randomHex(11), 1000000+randomBelow(9000000), randomBelow(90)+1)
	implicit := c.Conn != c.raw
	t := &smtpTalk{conn: c, startTLSOffered: !implicit, secure: implicit}
	c.printf("220 smtp.gmail.com ESMTP %s - gsmtp\r\n", c.id)
	if c.fault() == MailCut {
		c.cut("after the greeting")
		return
	}
	for t.command() {
	}
}

// command answers one command; false ends the dialogue.
func (t *smtpTalk) command() bool {
	line, err := t.readLine(smtpLineLimit)
	if err != nil {
		t.badLine(err)
		return false
	}
	verb, args, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO", "HELO":
		t.greet(strings.ToUpper(verb), strings.TrimSpace(args))
	case "STARTTLS":
		return t.encrypt()
	case "AUTH":
		return t.authenticate(args)
	case "NOOP":
		t.say("250 2.0.0 OK %s - gsmtp")
	case "RSET":
		t.say("250 2.1.5 Flushed %s - gsmtp")
	case "HELP":
		t.say("214 2.0.0  https://www.google.com/search?btnI&q=RFC+5321 %s - gsmtp")
	case "QUIT":
		t.say("221 2.0.0 closing connection %s - gsmtp")
		return false
	case "MAIL", "RCPT", "DATA", "BDAT", "VRFY", "EXPN":
		t.notYet()
	default:
		t.say("502 5.5.1 Unrecognized command. %s - gsmtp")
		if t.unknown++; t.unknown >= smtpUnknownLimit {
			t.say("502 5.5.1 Too many unrecognized commands, goodbye. %s - gsmtp")
			return false
		}
	}
	return true
}

// say writes a reply; %s stands for the session's id.
func (t *smtpTalk) say(lines ...string) {
	reply := strings.Join(lines, "\r\n") + "\r\n"
	t.printf("%s", strings.ReplaceAll(reply, "%s", t.id))
}

func (t *smtpTalk) badLine(err error) {
	switch err {
	case errLineTooLong:
		t.logf("a command line was longer than %d octets", smtpLineLimit)
		t.say("555-5.5.2 Syntax error, command line too long. For more information, go to",
			"555 5.5.2  https://support.google.com/a/answer/3221692 and review RFC 5321 specifications. %s - gsmtp")
		t.linger()
	case errBareLF:
		t.say("555 5.5.2 Syntax error, goodbye. %s - gsmtp")
	}
}

func (t *smtpTalk) greet(verb, name string) {
	if name == "" {
		t.say("501 5.5.4 HELO/EHLO argument is invalid. %s - gsmtp")
		return
	}
	t.helo = name
	if verb == "HELO" {
		t.say("250 smtp.gmail.com at your service")
		return
	}
	t.say(ehlo(t.address(), t.secure)...)
}

// ehlo is Gmail's list on 465 and, after STARTTLS, on 587; before it there is
// STARTTLS in place of AUTH.
func ehlo(client string, secure bool) []string {
	third := "250-STARTTLS"
	if secure {
		third = "250-AUTH LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH"
	}
	return []string{
		"250-smtp.gmail.com at your service, [" + client + "]",
		fmt.Sprintf("250-SIZE %d", smtpSize),
		"250-8BITMIME",
		third,
		"250-ENHANCEDSTATUSCODES",
		"250-PIPELINING",
		"250-CHUNKING",
		"250 SMTPUTF8",
	}
}

func (t *smtpTalk) encrypt() bool {
	switch {
	case !t.startTLSOffered:
		t.say("502 5.5.1 Unrecognized command. %s - gsmtp")
		return true
	case t.secure:
		t.say("454 5.5.1 STARTTLS may not be repeated. %s - gsmtp")
		return true
	case t.helo == "":
		t.say("503 5.5.1 EHLO/HELO first. %s - gsmtp")
		return true
	}
	t.say("220 2.0.0 Ready to start TLS")
	if err := t.startTLS(); err != nil {
		return false
	}
	t.secure, t.helo = true, "" // RFC 3207 §4.2: begin anew
	return true
}

// notYet refuses what needs a login, in the order Gmail asks for things.
func (t *smtpTalk) notYet() {
	switch {
	case t.helo == "":
		t.say("503 5.5.1 EHLO/HELO first. %s - gsmtp")
	case !t.secure:
		t.say("530 5.7.0 Must issue a STARTTLS command first. %s - gsmtp")
	default:
		t.say("530-5.7.0 Authentication Required. For more information, go to",
			"530 5.7.0  https://support.google.com/mail/?p=WantAuthError %s - gsmtp")
	}
}
