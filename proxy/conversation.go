package proxy

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"authferry/internal/printable"
	"authferry/internal/protocol"
	"authferry/proxy/gate"
	"authferry/proxy/relay"
	"authferry/proxy/upstream"
	"authferry/tokens"
)

// dialect is the client's side of one mail protocol, up to the login. A value
// serves one session and keeps what its later steps need (an IMAP tag, the EHLO
// argument).
type dialect interface {
	greet(*session) error                         // greet the client
	hear(*session) (tokens.Login, error)          // talk to the client up to its login
	welcome(*relay.Conn, *upstream.Session) error // tell the client that it is logged in
	refuse(*relay.Conn, refusal) error            // tell the client why not
	farewell(*relay.Conn, string) error           // tell the client that we hang up, before or after login
}

func newDialect(p protocol.Protocol) dialect {
	switch p {
	case protocol.IMAP:
		return new(imapDialect)
	case protocol.POP3:
		return new(pop3Dialect)
	case protocol.SMTP:
		return new(smtpDialect)
	}
	panic("proxy: no such protocol: " + string(p))
}

// maxNonsense is how many commands may make no sense before a login. A client that
// sends more is not a mail program (https://alpaca-attack.com).
const maxNonsense = 10

var (
	// errClientLeft: the client ended the conversation properly (LOGOUT, QUIT, or
	// closing between commands) before any login succeeded.
	errClientLeft = errors.New("the client left")
	// errNoLogin: a command has been answered and the next one is due.
	errNoLogin   = errors.New("not a login")
	errNonsense  = errors.New("not a mail program: too many commands that make no sense")
	errLateHello = errors.New("a TLS handshake that came after the greeting: give slow programs more time by hello " +
		"under [limits], or a listener of imaps, pop3s or smtps")
	// errWrongProtocol: the client is not a mail program, or not one of this protocol.
	errWrongProtocol = errors.New("not a mail program for this port")
)

// needsTLS reports whether the client has to start TLS before it may log in.
func (s *session) needsTLS() bool { return s.offersTLS() && !s.client.Secure }

// offersTLS reports whether a client may start TLS on this listener by a command.
func (s *session) offersTLS() bool { return s.Security == StartTLS || s.Security == Either }

// readLine reads a line of the client. The first bytes it sends may be a TLS
// handshake, which has no line end to wait for, or another protocol.
func (s *session) readLine(limit int) (line string, err error) {
	var hello bool
	first := !s.spoken
	s.spoken = true
	if first && !s.client.Secure {
		hello, err = s.client.StartsTLS()
	}
	if err == nil && !hello {
		line, err = s.client.ReadLine(limit)
	}
	switch {
	case hello && s.Security == Either:
		err = errLateHello
	case hello:
		err = relay.ErrTLSHello
	case err == nil && first:
		s.slot.Spoke()
		seen := line
		if line == "" { // a binary PROXY header begins with an empty line
			seen = "\r\n" + string(s.client.Peek(len(proxySignature)))
		}
		err = wrongProtocol(s.Protocol, seen)
	case err == io.EOF:
		err = errClientLeft
	}
	return line, err
}

// answer answers a command that is no login.
func (s *session) answer(lines ...string) (tokens.Login, error) {
	if err := s.client.Say(lines...); err != nil {
		return tokens.Login{}, err
	}
	return tokens.Login{}, errNoLogin
}

// protest answers a command that makes no sense.
func (s *session) protest(lines ...string) (tokens.Login, error) {
	if s.nonsense++; s.nonsense > maxNonsense {
		return tokens.Login{}, errNonsense
	}
	return s.answer(lines...)
}

// upgrade answers STARTTLS or STLS and starts TLS. Commands sent ahead of the
// handshake came without TLS, so anyone may have sent them: they end the session.
func (s *session) upgrade(refuse, proceed string) (tokens.Login, error) {
	s.doing = "starting TLS with the client"
	if s.client.Early() {
		s.client.Say(refuse)
		return tokens.Login{}, relay.ErrEarlyBytes
	}
	if err := s.client.Say(proceed); err != nil {
		return tokens.Login{}, err
	}
	if err := s.client.StartTLSServer(s.TLS); err != nil {
		return tokens.Login{}, fmt.Errorf("TLS handshake with the mail program: %w", err)
	}
	s.doing = "waiting for a login"
	return tokens.Login{}, errNoLogin
}

// trusts returns the rule by which the client may send mail without logging in;
// nil if there is none, and then why is for the log.
func (s *session) trusts() (t *gate.Trusted, why error) {
	switch t = s.Gate.Trusted(s.peer.Addr()); {
	case t == nil:
		return nil, errNoLoginAtAll
	case s.client.Secure, !s.needsTLS() && (t.WithoutTLS || s.peer.Addr().IsLoopback()):
		return t, nil
	}
	return nil, errTrustNeedsTLS
}

// heard traces a command of the client while debugging. Dialects pass what is
// safe to show: the name of a command they know, and no argument whose meaning
// they do not know.
func (s *session) heard(words ...string) {
	if trace := s.tracer("from client"); trace != nil {
		trace(strings.Join(words, " "))
	}
}

// tracer returns a function that logs one direction of a conversation before the
// relay, or nil unless debugging.
func (s *session) tracer(direction string) func(string) {
	if !s.Log.Core().Enabled(zapcore.DebugLevel) {
		return nil
	}
	return func(line string) {
		s.Log.Debug("said", zap.String("protocol", string(s.Protocol)), zap.Stringer("client", s.peer),
			zap.String("direction", direction), zap.String("line", upstream.Quotable(line)))
	}
}

// logRefused logs and records a login that is refused.
func (s *session) logRefused(r refusal, cause error) {
	level := zapcore.WarnLevel
	if r.row == rowBadLogin || r.row == rowNeedsTLS || r.row == rowTooMany {
		level = zapcore.InfoLevel // caused by the client, which may do it as often as it likes
	}
	if s.grant == nil && r.row == rowBadLogin && !s.known(s.login.User) {
		cause = tokens.ErrBadLogin // its text would repeat the name
	}
	s.recordAttempt(r.row.String(), cause)
	s.Log.Log(level, "login refused", append(s.fields(), zap.String("outcome", r.row.String()), zap.Error(cause))...)
}

// fields returns the fields of every log line of a session, always in this order;
// outcome, sent, received, for and error follow where they are known.
func (s *session) fields() []zap.Field {
	f := []zap.Field{
		zap.String("protocol", string(s.Protocol)),
		zap.Stringer("client", s.peer),
	}
	if g := s.grant; g != nil {
		f = append(f,
			zap.String("mailbox", g.Mailbox),
			zap.String("password", g.PasswordName),
			zap.String("provider", g.Provider.Name))
	} else if s.login.User != "" {
		f = append(f, zap.String("mailbox", s.loggable(s.login.User)))
	}
	return append(f, zap.String("while", s.doing))
}

// loggable returns what may be shown of a user name before its password has been
// checked. People paste passwords into the wrong field, so of a name that is
// neither an address nor an alias of one it is the first letters only.
func (s *session) loggable(user string) string {
	shown := upstream.Quotable(user)
	if s.known(user) {
		return printable.Cut(shown, 64)
	}
	return shown[:min(len(shown), 2)] + "..."
}

// known reports whether a user name is an address, or an alias of one.
func (s *session) known(user string) bool {
	mailbox, _ := s.Vault.Canonical(user)
	return strings.Contains(mailbox, "@")
}

// recordAttempt passes the login under way to Server.Attempts. cause is nil if it
// succeeded.
func (s *session) recordAttempt(result string, cause error) {
	if s.Attempts == nil {
		return
	}
	a := Attempt{
		At: time.Now(), Protocol: s.Protocol, Client: s.peer, TLS: tlsVersion(s.client),
		Program: printable.ASCII(s.login.Client, maxClientName), Result: result, Cause: causeOf(cause),
	}
	if s.login.User != "" {
		a.User = s.loggable(s.login.User)
		if mailbox, _ := s.Vault.Canonical(s.login.User); s.known(s.login.User) {
			a.Mailbox = upstream.Quotable(mailbox)
		}
	}
	if g := s.grant; g != nil {
		a.Mailbox, a.Password = g.Mailbox, g.PasswordName
	}
	s.Attempts(a)
}

// beginsTLS waits for the first byte, which stays to be read, and reports whether
// it is that of a TLS record with a handshake, or of its SSL 2 form. No command of
// the three protocols begins with either.
func beginsTLS(w *relay.Wire, wait time.Duration) (bool, error) {
	if err := w.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return false, err
	}
	var first [1]byte
	n, err := w.Read(first[:])
	w.Unread(first[:n])
	switch {
	case n == 1:
		return first[0] == 0x16 || first[0]&0x80 != 0, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return false, nil
	}
	return false, err
}

// signatures are the first words of clients that are not mail programs, and what
// they mean.
var signatures = []struct{ start, what string }{
	{"GET /", httpRequest}, {"POST /", httpRequest}, {"HEAD /", httpRequest}, {"PUT /", httpRequest},
	{"OPTIONS /", httpRequest}, {"OPTIONS *", httpRequest}, {"CONNECT ", httpRequest}, {"PRI * HTTP", httpRequest},
	{"SSH-", "an SSH client: it is set to the wrong port"},
	{"PROXY ", unexpectedHeader}, {proxySignature, unexpectedHeader},
}

const (
	httpRequest      = "an HTTP request: a browser, a monitor or a web application is set to a mail port"
	unexpectedHeader = "a PROXY header from an address that may not send one: if it is your load balancer, " +
		"add its network to proxy_protocol of the [[listener]]; otherwise someone imitates one"
	smtpClient = "an SMTP client: it is set to the wrong port, or speaks to the wrong listener"
)

// wrongProtocol recognizes clients that are not mail programs of the protocol by
// the first line, or the first five bytes, that they send.
func wrongProtocol(p protocol.Protocol, line string) error {
	if len(line) >= 5 && p != protocol.SMTP {
		if verb := strings.ToUpper(line[:5]); verb == "EHLO " || verb == "HELO " {
			return fmt.Errorf("%w: %s", errWrongProtocol, smtpClient)
		}
	}
	for _, f := range signatures {
		if n := min(len(line), len(f.start)); n >= 4 && line[:n] == f.start[:n] {
			return fmt.Errorf("%w: %s", errWrongProtocol, f.what)
		}
	}
	return nil
}
