package mailserver

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"authferry/demo/eventlog"
	"authferry/demo/fault"
	"authferry/demo/mailstore"
)

// handshakeTime bounds a TLS handshake.
const handshakeTime = 10 * time.Second

// conn is a client's connection up to its login.
type conn struct {
	net.Conn          // TLS, or raw before STARTTLS
	raw      net.Conn // TCP; closing it ends TLS without close_notify
	r        *bufio.Reader
	server   *Server
	protocol string
	id       string // as Gmail appends it to its replies
	session  *session
}

// session lets a fault end a connection after its login.
type session struct {
	bye func() // ends it with the protocol's words, if it has any
}

// begin runs a dialogue, unless a fault keeps it from beginning.
func (c *conn) begin(talk func(*conn)) {
	if c.fault() == fault.MailStall {
		c.logf("left without a greeting")
		io.Copy(io.Discard, c.r)
		return
	}
	c.watchForEarlyTalk()
	talk(c)
}

// fault returns the fault of the connection's protocol.
func (c *conn) fault() fault.MailFault { return c.server.options.Faults.MailFault(c.protocol) }

func (c *conn) handshake() error {
	t := tls.Server(c.raw, c.server.tls)
	t.SetDeadline(time.Now().Add(handshakeTime))
	if err := t.Handshake(); err != nil {
		c.logf("no TLS: %v", err)
		return err
	}
	t.SetDeadline(time.Time{})
	c.Conn = t
	c.r = bufio.NewReader(t)
	return nil
}

// watchForEarlyTalk gives the client a moment to break the rule that the
// server speaks first. A timeout leaves a TLS connection usable.
func (c *conn) watchForEarlyTalk() {
	c.SetReadDeadline(time.Now().Add(c.server.options.GreetingDelay))
	_, err := c.r.Peek(1)
	c.SetReadDeadline(time.Time{})
	if err == nil {
		c.tooEarly("client spoke before the greeting")
	}
}

func (c *conn) tooEarly(what string) {
	c.server.mu.Lock()
	c.server.early++
	c.server.mu.Unlock()
	c.logf("%s", what)
}

// startTLS refuses if anything came behind the command in the clear: it would
// be taken for what came under TLS (CVE-2011-0411).
func (c *conn) startTLS() error {
	if c.r.Buffered() > 0 {
		c.tooEarly("client spoke ahead of the TLS handshake")
		return errors.New("bytes ahead of the TLS handshake")
	}
	return c.handshake()
}

var (
	errLineTooLong = errors.New("line too long")
	errBareLF      = errors.New("line without CRLF")
)

// readLine returns a line without its CRLF. Providers insist on CRLF before
// login, so a line that lacks it is an error, and comes with the error.
func (c *conn) readLine(limit int) (string, error) {
	var line []byte
	for {
		part, err := c.r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > limit {
			return "", errLineTooLong
		}
		if err == nil {
			break
		}
		if err != bufio.ErrBufferFull {
			return "", err
		}
	}
	s, ok := strings.CutSuffix(string(line), "\r\n")
	if !ok {
		c.logf("sent a line that does not end in CRLF")
		return strings.TrimSuffix(s, "\n"), errBareLF
	}
	return s, nil
}

// lingerTime is how long a client has to read the last reply.
const lingerTime = time.Second

// linger waits for the client to close. Closing first, with input unread,
// would reset the connection and lose the reply on its way (RFC 1122 §4.2.2.13).
func (c *conn) linger() {
	if t, ok := c.Conn.(*tls.Conn); ok {
		t.CloseWrite()
	}
	c.SetReadDeadline(time.Now().Add(lingerTime))
	io.Copy(io.Discard, c.r)
}

// printf writes one piece; the caller spells the CRLFs.
func (c *conn) printf(format string, args ...any) {
	// A client that has gone is noticed at the next read.
	fmt.Fprintf(c.Conn, format, args...)
}

// cut ends the connection as a broken network would.
func (c *conn) cut(where string) {
	c.logf("cut %s", where)
	c.raw.Close()
}

func (c *conn) logf(format string, args ...any) {
	c.server.options.Log.Printf("%s %s: %s", c.protocol, c.raw.RemoteAddr(), fmt.Sprintf(format, args...))
}

// address returns the client's address as Gmail shows it in greetings.
func (c *conn) address() string {
	host, _, err := net.SplitHostPort(c.raw.RemoteAddr().String())
	if err != nil {
		return c.raw.RemoteAddr().String()
	}
	return host
}

// inSession makes the connection known to faults that end live sessions.
func (c *conn) inSession(s *session) {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.session = s
}

// login checks credentials: the token must open the mailbox named, where POP3's
// "recent:" in front is a mode and not part of the name.
func (c *conn) login(cr credentials) (mailbox *mailstore.Mailbox, expires time.Time, ok bool) {
	user := mailstore.Canonical(cr.user)
	if c.protocol == "pop3" {
		user = strings.TrimPrefix(user, "recent:")
	}
	if c.fault() == fault.MailRefuse {
		c.logf("%s refused on purpose", eventlog.Quote(user))
		return nil, time.Time{}, false
	}
	expires, err := c.server.options.Auth.Authorize(cr.token, user)
	if err != nil {
		c.logf("%s refused: %v", eventlog.Quote(user), err)
		return nil, time.Time{}, false
	}
	return c.server.options.Store.Find(user), expires, true
}
