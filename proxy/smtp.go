package proxy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"authferry/internal/printable"
	"authferry/proxy/filter"
	"authferry/proxy/relay"
	"authferry/proxy/upstream"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// maxSMTPLine bounds a command before login: RFC 5321 §4.5.3.1.4 asks for 512
// octets, and RFC 4954 §4 for more where AUTH brings an initial response.
const maxSMTPLine = maxSASLLine

// smtpDialect is the client's side of an SMTP session (RFC 5321, RFC 4954).
type smtpDialect struct {
	hostname string // of the server, for farewell
	helo     string // the argument of the client's EHLO or HELO
	mailed   error  // why the client may not send mail yet, if it has tried before any login
	first    string // the MAIL that stood for a login, for the provider; see unasked
}

// Errors of clients that send mail without a login. They are for the log: many
// programs do not show the answer to their users.
var (
	errNoLoginAtAll = errors.New("the client tried to send mail without logging in: " +
		"switch on authentication with user name and password in it")
	errTrustNeedsTLS = errors.New("the client is in a network of [[gate.trusted]] and tried to send mail without logging in and without TLS: " +
		"switch TLS on in it, or set without_tls there")
)

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
		// Outlook Express and JavaMail look for the older form, with an equals sign.
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
		return s.protest("502 5.5.1 STARTTLS is not offered here")
	case s.client.Secure:
		return s.protest("503 5.5.1 TLS is on already")
	case arg != "":
		return s.protest("501 5.5.4 STARTTLS takes no argument")
	}
	d.helo = "" // sent without TLS (RFC 3207 §4.2)
	return s.upgrade("503 5.5.1 commands sent ahead of the TLS handshake", "220 2.0.0 begin TLS now")
}

// authenticate answers AUTH. The mechanism may be in lower case and bring the
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

// unasked answers a command of a mail transaction before any login. MAIL from a
// trusted network stands for a login.
func (d *smtpDialect) unasked(s *session, name, line string) (tokens.Login, error) {
	t, why := s.trusts()
	switch {
	case t == nil && s.needsTLS():
		d.mailed = why
		return s.protest("530 5.7.0 Must issue a STARTTLS command first")
	case t == nil:
		d.mailed = why
		return s.protest("530 5.7.0 Authentication required")
	case name != "MAIL":
		return s.answer(filter.NoMail) // perhaps pipelined behind a MAIL that was refused
	}
	if _, ok := filter.MailFrom(line, t.Trust.Mailbox); !ok {
		return s.protest(filter.BadMailFrom)
	}
	s.trust, d.first = t, line+"\r\n"
	return s.loginBy(t.Trust.Mailbox, "", printable.ASCII(d.helo, maxClientName)), nil
}

func (d *smtpDialect) welcome(c *relay.Conn, provider *upstream.Session) error {
	if d.first != "" {
		return nil // the provider's answer to it is still to come
	}
	return c.Say("235 " + provider.Accepted)
}

func (d *smtpDialect) refuse(c *relay.Conn, r refusal) error {
	row := refusals[r.row]
	e := row.enhanced
	return c.Say(fmt.Sprintf("%d %d.%d.%d %s", row.smtp, e[0], e[1], e[2], r.words))
}

func (d *smtpDialect) farewell(c *relay.Conn, words string) error {
	return c.Say("421 4.7.0 " + d.hostname + " " + words)
}

// commonExtensions returns the extensions of all providers, for the answer to EHLO
// before a login: the provider is not known yet.
func commonExtensions(providers []*oauth.Provider) []string {
	if len(providers) == 0 {
		return nil
	}
	var common []string
	for _, line := range providers[0].SMTPExtensions {
		keyword, _, _ := strings.Cut(line, " ")
		everywhere := !strings.EqualFold(keyword, "AUTH") && !strings.EqualFold(keyword, "STARTTLS")
		for _, p := range providers[1:] {
			other, ok := findExtension(p.SMTPExtensions, keyword)
			everywhere = everywhere && ok
			if strings.EqualFold(keyword, "SIZE") {
				line = smallerSize(line, other)
			}
		}
		if everywhere {
			common = append(common, line)
		}
	}
	return common
}

func findExtension(list []string, keyword string) (line string, ok bool) {
	for _, line := range list {
		if k, _, _ := strings.Cut(line, " "); strings.EqualFold(k, keyword) {
			return line, true
		}
	}
	return "", false
}

// smallerSize returns the smaller of two SIZE lines. No size, or 0, means no fixed
// limit (RFC 1870 §3).
func smallerSize(a, b string) string {
	size := func(line string) uint64 {
		_, n, _ := strings.Cut(line, " ")
		v, _ := strconv.ParseUint(n, 10, 63)
		return v - 1 // no limit wraps to the greatest
	}
	if size(b) < size(a) {
		return b
	}
	return a
}
