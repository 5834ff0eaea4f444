package proxy

import (
	"errors"
	"strings"

	"authferry/internal/secret"
	"authferry/proxy/relay"
	"authferry/proxy/upstream"
	"authferry/tokens"
)

// maxPOP3Line bounds a command before login; RFC 2449 §4 asks for 255 octets.
const maxPOP3Line = 4096

// pop3Dialect is the client's side of a POP3 session (RFC 1939, RFC 2449).
type pop3Dialect struct {
	user string // from USER, until PASS
}

// offered returns the answer to CAPA before login. Clients ask once and believe it
// for the session (RFC 2449 §3), so it has what all providers have (TOP and UIDL)
// and not what only some have (PIPELINING, EXPIRE, LOGIN-DELAY).
func (d *pop3Dialect) offered(s *session) []string {
	list := []string{"+OK capabilities follow", "TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE"}
	if s.needsTLS() {
		list = append(list, "STLS")
	} else {
		list = append(list, "USER", "SASL PLAIN LOGIN")
	}
	return append(list, "IMPLEMENTATION authferry", ".")
}

// greet sends no timestamp in angle brackets: it would offer APOP.
func (d *pop3Dialect) greet(s *session) error {
	return s.client.Say("+OK " + s.Hostname + " authferry ready")
}

func (d *pop3Dialect) hear(s *session) (tokens.Login, error) {
	for {
		line, err := s.readLine(maxPOP3Line)
		if errors.Is(err, relay.ErrLineTooLong) {
			s.client.Say("-ERR line too long")
		}
		if err != nil {
			return tokens.Login{}, err
		}
		if login, err := d.obey(s, line); !errors.Is(err, errNoLogin) {
			return login, err
		}
	}
}

func (d *pop3Dialect) obey(s *session, line string) (tokens.Login, error) {
	name, arg, _ := strings.Cut(line, " ")
	name = strings.ToUpper(name)
	switch name {
	case "CAPA":
		s.heard(name)
		return s.answer(d.offered(s)...)
	case "NOOP":
		s.heard(name)
		return s.answer("+OK")
	case "QUIT":
		s.heard(name)
		s.client.Say("+OK goodbye")
		return tokens.Login{}, errClientLeft
	case "STLS":
		s.heard(name)
		if !s.needsTLS() {
			return s.protest("-ERR STLS is not offered here")
		}
		d.user = "" // sent without TLS
		return s.upgrade("-ERR commands sent ahead of the TLS handshake", "+OK begin TLS now")
	case "USER":
		s.heard(name, "***")
		return d.hearUser(s, arg)
	case "PASS":
		s.heard(name, "***")
		return d.hearPass(s, arg)
	case "AUTH":
		s.heard(name, "***")
		return d.authenticate(s, arg)
	case "APOP":
		s.heard(name)
		return s.protest("-ERR " + notOffered)
	case "STAT", "LIST", "RETR", "DELE", "RSET", "TOP", "UIDL", "LAST":
		s.heard(name)
		return s.protest("-ERR log in first")
	case "GET", "POST", "PUT", "CONNECT", "OPTIONS":
		return tokens.Login{}, errNonsense
	}
	s.heard("an unknown command")
	return s.protest("-ERR unknown command")
}

func (d *pop3Dialect) hearUser(s *session, name string) (tokens.Login, error) {
	if s.needsTLS() {
		return s.loginBy("", "", ""), errNeedsTLS
	}
	if d.user = strings.Trim(name, " "); d.user == "" {
		return s.protest("-ERR USER takes a user name")
	}
	return s.answer("+OK send PASS") // whether or not the user exists
}

// hearPass takes everything after PASS and one space, since the password may
// contain spaces: RFC 1939 §7.
func (d *pop3Dialect) hearPass(s *session, password string) (tokens.Login, error) {
	if s.needsTLS() {
		return s.loginBy("", "", ""), errNeedsTLS
	}
	if d.user == "" {
		return s.protest("-ERR USER first")
	}
	login := s.loginBy(d.user, secret.String(password), "")
	d.user = ""
	return login, nil
}

// authenticate answers AUTH: with a list of mechanisms if it names none (MS-POP3);
// otherwise it is a login, with or without an initial response (RFC 5034).
func (d *pop3Dialect) authenticate(s *session, args string) (tokens.Login, error) {
	words := strings.Fields(args)
	if len(words) == 0 && !s.needsTLS() {
		return s.answer("+OK mechanisms follow", "PLAIN", "LOGIN", ".")
	}
	if s.needsTLS() {
		return s.loginBy("", "", ""), errNeedsTLS
	}
	if len(words) > 2 {
		return s.protest("-ERR AUTH takes a mechanism")
	}
	var initial *string
	if len(words) == 2 {
		initial = &words[1]
	}
	user, password, err := hearSASL(words[0], initial, func(challenge string) (string, error) {
		if err := s.client.Say("+ " + challenge); err != nil {
			return "", err
		}
		return s.readLine(maxSASLLine)
	})
	switch {
	case errors.Is(err, errSASLMechanism):
		return s.protest("-ERR " + notOffered)
	case errors.Is(err, errSASLCancelled), errors.Is(err, errSASLEncoding):
		return s.protest("-ERR " + err.Error())
	case errors.Is(err, relay.ErrLineTooLong):
		s.client.Say("-ERR response too long")
	}
	return s.loginBy(user, password, ""), err
}

func (d *pop3Dialect) welcome(c *relay.Conn, provider *upstream.Session) error {
	return c.Say(strings.TrimSpace("+OK " + provider.Accepted))
}

func (d *pop3Dialect) refuse(c *relay.Conn, r refusal) error {
	return c.Say("-ERR [" + refusals[r.row].pop3 + "] " + r.words)
}

func (d *pop3Dialect) farewell(c *relay.Conn, words string) error { return c.Say("-ERR " + words) }
