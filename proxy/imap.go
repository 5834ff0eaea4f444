package proxy

import (
	"errors"
	"strings"

	"authferry/internal/printable"
	"authferry/internal/secret"
	"authferry/proxy/imapsyntax"
	"authferry/proxy/relay"
	"authferry/proxy/upstream"
	"authferry/tokens"
)

// maxIMAPCommand bounds a command before login, literals included.
const maxIMAPCommand = 64 << 10

// imapDialect is the client's side of an IMAP session (RFC 3501, RFC 9051).
type imapDialect struct {
	tag    string // of the command under way
	client string // the name that the program gave itself by ID (RFC 2971)
}

// offered returns the capabilities before login. Apple Mail does not ask for them
// if the greeting has them.
func (d *imapDialect) offered(s *session) string {
	if s.needsTLS() {
		return "IMAP4rev1 LITERAL+ ID STARTTLS LOGINDISABLED"
	}
	return "IMAP4rev1 SASL-IR LITERAL+ ID AUTH=PLAIN AUTH=LOGIN"
}

func (d *imapDialect) greet(s *session) error {
	return s.client.Say("* OK [CAPABILITY " + d.offered(s) + "] " + s.Hostname + " authferry ready")
}

func (d *imapDialect) hear(s *session) (tokens.Login, error) {
	for {
		text, err := d.command(s)
		if errors.Is(err, relay.ErrLineTooLong) {
			s.client.Say("* BAD command too long")
		}
		if err != nil {
			return tokens.Login{}, err
		}
		if login, err := d.obey(s, text); !errors.Is(err, errNoLogin) {
			return login, err
		}
	}
}

// command reads one command with its literals.
func (d *imapDialect) command(s *session) (string, error) {
	var text string
	for {
		line, err := s.readLine(maxIMAPCommand - len(text))
		if err != nil {
			return "", err
		}
		text += line
		size, waits, ok := imapsyntax.LiteralAt(line)
		if !ok || waits && s.needsTLS() { // a password would follow: do not ask for it
			return text, nil
		}
		if size > maxIMAPCommand-len(text) {
			return "", relay.ErrLineTooLong
		}
		if waits {
			if err := s.client.Say("+ go ahead"); err != nil {
				return "", err
			}
		}
		literal, err := s.client.ReadBytes(size)
		if err != nil {
			return "", err
		}
		text += "\r\n" + literal
	}
}

func (d *imapDialect) obey(s *session, text string) (tokens.Login, error) {
	tag, rest, _ := strings.Cut(text, " ")
	name, args, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	if !imapsyntax.ValidTag(tag) || name == "" {
		s.heard("a line that is no command")
		return s.protest("* BAD expected a tag and a command")
	}
	d.tag = tag
	name = strings.ToUpper(name)
	switch name {
	case "CAPABILITY":
		s.heard(name)
		return s.answer("* CAPABILITY "+d.offered(s), tag+" OK CAPABILITY completed")
	case "NOOP":
		s.heard(name)
		return s.answer(tag + " OK NOOP completed")
	case "ID": // Apple Mail sends it before login and gives up on BAD
		s.heard(name)
		id := imapsyntax.Args(args).Pairs()
		d.client = printable.ASCII(id["name"]+" "+id["version"], maxClientName)
		return s.answer(`* ID ("name" "authferry")`, tag+" OK ID completed")
	case "LOGOUT":
		s.heard(name)
		s.client.Say("* BYE logging out", tag+" OK LOGOUT completed")
		return tokens.Login{}, errClientLeft
	case "STARTTLS":
		s.heard(name)
		return d.startTLS(s)
	case "LOGIN":
		s.heard(name, "***")
		return d.logIn(s, imapsyntax.Args(args))
	case "AUTHENTICATE":
		s.heard(name, "***")
		return d.authenticate(s, args)
	case "SELECT", "EXAMINE", "CREATE", "DELETE", "RENAME", "SUBSCRIBE", "UNSUBSCRIBE", "LIST", "LSUB",
		"NAMESPACE", "STATUS", "APPEND", "IDLE", "ENABLE", "CLOSE", "UNSELECT", "EXPUNGE", "SEARCH", "FETCH",
		"STORE", "COPY", "MOVE", "UID", "CHECK", "XLIST", "COMPRESS":
		s.heard(name)
		return s.protest(tag + " BAD log in first")
	}
	s.heard("an unknown command")
	// The tag may be a word of a password, sent on a line of its own by a program
	// that took a refusal for a prompt.
	defer s.client.Untraced()()
	return s.protest(tag + " BAD unknown command")
}

func (d *imapDialect) startTLS(s *session) (tokens.Login, error) {
	if !s.needsTLS() {
		return s.protest(d.tag + " BAD STARTTLS is not offered here")
	}
	d.client = "" // sent without TLS
	return s.upgrade(d.tag+" BAD commands sent ahead of the TLS handshake", d.tag+" OK begin TLS now")
}

// logIn answers LOGIN.
func (d *imapDialect) logIn(s *session, args imapsyntax.Args) (tokens.Login, error) {
	if s.needsTLS() {
		return s.loginBy("", "", d.client), errNeedsTLS
	}
	user, ok := args.Astring()
	if !ok {
		return s.protest(d.tag + " BAD LOGIN takes a user name and a password")
	}
	password, ok := args.Last()
	if !ok {
		return s.protest(d.tag + " BAD LOGIN takes a user name and a password")
	}
	return s.loginBy(user, secret.String(password), d.client), nil
}

// authenticate answers AUTHENTICATE, with or without an initial response (RFC 4959).
func (d *imapDialect) authenticate(s *session, args string) (tokens.Login, error) {
	if s.needsTLS() {
		return s.loginBy("", "", d.client), errNeedsTLS
	}
	words := strings.Fields(args)
	if len(words) == 0 || len(words) > 2 {
		return s.protest(d.tag + " BAD AUTHENTICATE takes a mechanism")
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
	case errors.Is(err, errSASLMechanism): // RFC 9051 §6.2.2 wants NO here, BAD below
		return s.protest(d.tag + " NO [CANNOT] " + notOffered)
	case errors.Is(err, errSASLCancelled), errors.Is(err, errSASLEncoding):
		return s.protest(d.tag + " BAD " + err.Error())
	case errors.Is(err, relay.ErrLineTooLong):
		s.client.Say(d.tag + " BAD response too long")
	}
	return s.loginBy(user, password, d.client), err
}

// welcome repeats the provider's answer under the client's tag. The provider's
// capabilities go into its code, so that no client keeps ours: RFC 9051 §7.1.
func (d *imapDialect) welcome(c *relay.Conn, provider *upstream.Session) error {
	lines := provider.Untagged
	if strings.HasPrefix(provider.Accepted, "[") { // there is room for one code only
		lines = append(lines, "* CAPABILITY "+provider.Capabilities, d.tag+" OK "+provider.Accepted)
	} else {
		lines = append(lines, d.tag+" OK [CAPABILITY "+provider.Capabilities+"] "+provider.Accepted)
	}
	return c.Say(lines...)
}

func (d *imapDialect) refuse(c *relay.Conn, r refusal) error {
	row := refusals[r.row]
	lines := []string{d.tag + " NO [" + string(row.imap) + "] " + r.words}
	if row.alert {
		lines = []string{"* OK [ALERT] " + r.words, lines[0]}
	}
	return c.Say(lines...)
}

func (d *imapDialect) farewell(c *relay.Conn, words string) error { return c.Say("* BYE " + words) }
