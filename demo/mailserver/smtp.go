package mailserver

import (
	"encoding/base64"
	"fmt"
	"strings"

	"authferry/demo/fault"
	"authferry/demo/mailstore"
	"authferry/demo/random"
)

const (
	// smtpSize is Gmail's message limit, as SIZE advertises it (RFC 1870).
	smtpSize = 35882577
	// smtpLineLimit: a one-line AUTH with a token of 697 characters works at
	// Gmail and longer ones fail (jstedfast/MailKit#1343,
	// eclipse-ee4j/angus-mail#201), so a client with a long token must send it
	// on a line of its own (RFC 4954 §4).
	smtpLineLimit = 1000
	// smtpSASLLimit is the length of such a line that servers should accept (RFC
	// 4954 §4).
	smtpSASLLimit = 12288
	// smtpUnknownLimit is how many unknown commands Gmail tolerates.
	smtpUnknownLimit = 10
)

// smtpFaults are the refusals of a right token. Gmail has no switch for
// SMTP; the words for one are Microsoft's.
var smtpFaults = map[fault.MailFault][]string{
	fault.MailDisabled:  {"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox."},
	fault.MailTooMany:   {"454 4.7.0 Too many login attempts, please try again later. %s - gsmtp"},
	fault.MailTemporary: {"454 4.7.0 Cannot authenticate due to temporary system problem. Try again later. %s - gsmtp"},
	fault.MailWebLogin: {
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
	helo            string // name in EHLO or HELO; "": not sent yet
	unknown         int
}

// talkSMTP speaks Gmail's SMTP up to the login, then hands the connection over.
func talkSMTP(c *conn) {
	c.id = fmt.Sprintf("%s-%ssm%df8f.%d", random.Hex(13), random.Hex(11), 1000000+random.Below(9000000), random.Below(90)+1)
	implicit := c.Conn != c.raw
	t := &smtpTalk{conn: c, startTLSOffered: !implicit, secure: implicit}
	c.printf("220 smtp.gmail.com ESMTP %s - gsmtp\r\n", c.id)
	if c.fault() == fault.MailCut {
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
	t.secure, t.helo = true, "" // RFC 3207 §4.2: the client begins again
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

// authenticate answers an AUTH command (RFC 4954 §4). It returns false when the
// dialogue is over: the client has gone, or its session was served to its end.
func (t *smtpTalk) authenticate(args string) bool {
	if t.helo == "" || !t.secure {
		t.notYet()
		return true
	}
	mechanism, encoded, initial := strings.Cut(strings.TrimSpace(args), " ")
	mechanism = strings.ToUpper(mechanism)
	switch mechanism {
	case "XOAUTH2", "OAUTHBEARER":
	case "LOGIN", "PLAIN", "PLAIN-CLIENTTOKEN":
		return t.password(mechanism, initial)
	default:
		t.say("504 5.7.4 Unrecognized Authentication Type. %s - gsmtp")
		return true
	}
	if !initial {
		var ok bool
		if encoded, ok = t.ask(""); !ok {
			return false
		}
	}
	if encoded == "*" {
		t.say("501 5.5.2 Cannot Decode response. %s - gsmtp")
		return true
	}
	cr, err := parseBearer(mechanism, encoded)
	if err != nil {
		t.say("501-5.5.2 Cannot Decode response. For more information, go to",
			"501 5.5.2  https://support.google.com/a/answer/3221692 %s - gsmtp")
		return true
	}
	m, _, ok := t.login(cr)
	if !ok {
		return t.refuse(mechanism)
	}
	return t.welcome(mechanism, m)
}

// ask sends a challenge and returns the client's answer; false if it has gone.
func (t *smtpTalk) ask(challenge string) (string, bool) {
	t.say("334 " + challenge)
	answer, err := t.readLine(smtpSASLLimit)
	if err != nil {
		t.badLine(err)
		return "", false
	}
	return answer, true
}

// refuse challenges first; the refusal waits for the client's answer, whatever
// it is.
func (t *smtpTalk) refuse(mechanism string) bool {
	if _, ok := t.ask(challenge(mechanism)); !ok {
		return false
	}
	t.say("535-5.7.8 Username and Password not accepted. For more information, go to",
		"535 5.7.8  https://support.google.com/mail/?p=BadCredentials %s - gsmtp")
	return true
}

// password reads a password to its end and refuses it.
func (t *smtpTalk) password(mechanism string, initial bool) bool {
	var prompts []string
	switch {
	case mechanism == "LOGIN" && !initial:
		prompts = []string{"Username:", "Password:"}
	case mechanism == "LOGIN":
		prompts = []string{"Password:"}
	case !initial:
		prompts = []string{""}
	}
	for _, prompt := range prompts {
		if _, ok := t.ask(base64.StdEncoding.EncodeToString([]byte(prompt))); !ok {
			return false
		}
	}
	t.logf("a password was refused: only OAuth opens this mailbox")
	t.say("534-5.7.9 Application-specific password required. For more information, go to",
		"534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor %s - gsmtp")
	return true
}

// welcome answers a right token: with a fault, or with the mailbox.
func (t *smtpTalk) welcome(mechanism string, m *mailstore.Mailbox) bool {
	injected := t.fault()
	if refusal, ok := smtpFaults[injected]; ok {
		t.logf("%s refused: fault %q", m.Address(), injected)
		t.say(refusal...)
		return true
	}
	t.logf("%s logged in with %s", m.Address(), mechanism)
	t.say("235 2.7.0 Accepted")
	t.serve(m)
	t.logf("%s is gone", m.Address())
	return false
}
