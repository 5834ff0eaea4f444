package proxy

import (
	"errors"
	"fmt"
	"strings"

	"authferry/internal/printable"
	"authferry/proxy/relay"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// maxSMTPLine bounds a command before login: RFC 5321 §4.5.3.1.4 asks for 512
// octets, and RFC 4954 §4 for more where AUTH brings an initial response.
const maxSMTPLine = maxSASLLine

// smtpDialect is one SMTP session (RFC 5321, RFC 4954). This file is the
// client's side of it, smtp_provider.go the provider's.
type smtpDialect struct {
	hostname string // ours, for farewell
	helo     string // the argument of the client's EHLO or HELO
	mailed   error  // the client tried to send mail before any login, and what to do about it
	first    string // the MAIL that stood for a login, for the provider; see trusted.go
	accepted string // what the provider said while it let us in
	chunking bool   // the provider takes BDAT (RFC 3030)
}

// errNoLoginAtAll is for the log: the program itself may show its owner nothing.
var errNoLoginAtAll = errors.New("the client tried to send mail without logging in: " +
	"switch on authentication with user name and password in it")

func (d *smtpDialect) endpoint(p *oauth.Provider) oauth.Endpoint { return p.SMTP }

func (d *smtpDialect) greet(s *session) error {
	d.hostname = s.Hostname
	return s.client.Say("220 " + s.Hostname + " ESMTP authferry")
}

func (d *smtpDialect) hear(s *session) (tokens.Login, error) {
	s.trust, d.first = nil, ""
	for {
		var login tokens.Login
		line, err := s.readLine(maxSMTPLine)
		if errors.Is(err, relay.ErrLineTooLong) {
			s.client.Say("500 5.5.2 line too long")
		}
		if err == nil {
			login, err = d.obey(s, line)
		}
		if errors.Is(err, errClientLeft) && d.mailed != nil {
			err = d.mailed
		}
		if !errors.Is(err, errNoLogin) {
			return login, err
		}
	}
}

func (d *smtpDialect) obey(s *session, line string) (tokens.Login, error) {
	name, arg, _ := strings.Cut(strings.TrimLeft(line, " "), " ")
	name, arg = strings.ToUpper(name), strings.TrimSpace(arg)
	switch name {
	case "EHLO", "HELO":
		s.heard(name, arg)
		return d.hello(s, name, arg)
	case "AUTH": // also after HELO or before either: scanners do
		s.heard(name, "***")
		return d.authenticate(s, arg)
	case "STARTTLS":
		s.heard(name)
		return d.startTLS(s, arg)
	case "MAIL", "RCPT", "DATA", "BDAT", "SEND", "SOML", "SAML":
		s.heard(name)
		return d.unasked(s, name, line)
	case "NOOP":
		s.heard(name)
		return s.answer("250 2.0.0 OK")
	case "RSET": // Symfony sends it after an AUTH that failed and wants 250
		s.heard(name)
		return s.answer("250 2.0.0 OK")
	case "VRFY":
		s.heard(name)
		return s.answer("252 2.5.0 Send some mail, I will try my best") // RFC 5321 §3.5.3
	case "HELP":
		s.heard(name)
		return s.answer("214 2.0.0 AUTH PLAIN or LOGIN, then mail")
	case "QUIT":
		s.heard(name)
		s.client.Say("221 2.0.0 goodbye")
		return tokens.Login{}, errClientLeft
	case "EXPN", "ETRN", "TURN", "ATRN":
		s.heard(name)
		return s.protest("502 5.5.1 command not implemented")
	case "GET", "POST", "PUT", "CONNECT", "OPTIONS":
		return tokens.Login{}, errNonsense
	}
	s.heard("an unknown command")
	return s.protest("500 5.5.1 unrecognized command")
}

func (d *smtpDialect) hello(s *session, name, arg string) (tokens.Login, error) {
	d.helo = arg
	if name == "HELO" {
		return s.answer("250 " + s.Hostname)
	}
	var providers []*oauth.Provider
	if s.Providers != nil {
		providers = s.Providers()
	}
	lines := append([]string{s.Hostname}, commonExtensions(providers)...)
	if s.needsTLS() {
		lines = append(lines, "STARTTLS")
	} else {
		// Outlook Express and JavaMail look for the form with an equals sign,
		// which predates RFC 2554.
		lines = append(lines, "AUTH PLAIN LOGIN", "AUTH=PLAIN LOGIN")
	}
	for i := range lines[1:] {
		lines[i] = "250-" + lines[i]
	}
	lines[len(lines)-1] = "250 " + lines[len(lines)-1]
	return s.answer(lines...)
}

func (d *smtpDialect) startTLS(s *session, arg string) (tokens.Login, error) {
	switch {
	case !s.offersTLS():
		return s.protest("502 5.5.1 STARTTLS is not on offer here")
	case s.client.Secure:
		return s.protest("503 5.5.1 TLS is on already")
	case arg != "":
		return s.protest("501 5.5.4 STARTTLS takes no argument")
	}
	d.helo = "" // said in the clear (RFC 3207 §4.2)
	return s.upgrade("503 5.5.1 commands sent ahead of the TLS handshake", "220 2.0.0 begin TLS now")
}

// authenticate hears AUTH. The mechanism may be in lower case and bring the
// user name with it: .NET's System.Net.Mail sends "AUTH login dXNlcg==".
func (d *smtpDialect) authenticate(s *session, args string) (tokens.Login, error) {
	if s.needsTLS() {
		return s.loginBy("", "", d.helo), errNeedsTLS
	}
	words := strings.Fields(args)
	if len(words) == 0 || len(words) > 2 {
		return s.protest("501 5.5.4 AUTH takes a mechanism")
	}
	var initial *string
	if len(words) == 2 {
		initial = &words[1]
	}
	user, password, err := hearSASL(words[0], initial, func(challenge string) (string, error) {
		if err := s.client.Say("334 " + challenge); err != nil {
			return "", err
		}
		return s.readLine(maxSASLLine)
	})
	switch {
	case errors.Is(err, errSASLMechanism):
		return s.protest("504 5.5.4 " + notOffered)
	case errors.Is(err, errSASLCancelled):
		return s.protest("501 5.7.0 " + err.Error())
	case errors.Is(err, errSASLEncoding):
		return s.protest("501 5.5.2 " + err.Error())
	case errors.Is(err, relay.ErrLineTooLong):
		s.client.Say("500 5.5.6 response too long")
	}
	return s.loginBy(user, password, printable.ASCII(d.helo, maxClientName)), err
}

func (d *smtpDialect) refuse(c *relay.Conn, r refusal) error {
	row := refusals[r.row]
	e := row.enhanced
	return c.Say(fmt.Sprintf("%d %d.%d.%d %s", row.smtp, e[0], e[1], e[2], r.words))
}

func (d *smtpDialect) farewell(c *relay.Conn, words string) error {
	return c.Say("421 4.7.0 " + d.hostname + " " + words)
}
