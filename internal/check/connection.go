package check

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"

	"authferry/internal/protocol"
	"authferry/proxy/upstream"
	"authferry/tokens/oauth"
)

// mailConn is a TLS connection to a mail server that begins with a greeting. After
// STARTTLS the server sends none, but a client that is given the connection waits for
// one.
type mailConn struct {
	net.Conn
	greeting string
	state    tls.ConnectionState
	received int
}

// maxReceived bounds what is read on one connection. A list of folders is the longest
// response, with about a hundred bytes a folder.
const maxReceived = 16 << 20

var errTooLong = errors.New("the server sends without end")

func (c *mailConn) Read(b []byte) (int, error) {
	if c.greeting != "" {
		n := copy(b, c.greeting)
		c.greeting = c.greeting[n:]
		return n, nil
	}
	if c.received > maxReceived {
		return 0, errTooLong
	}
	n, err := c.Conn.Read(b)
	c.received += n
	return n, err
}

// unreachableError is a server that could not be connected to: the network has changed
// since the step before, or a proxy does not connect to it.
type unreachableError struct{ error }

func (e *unreachableError) Unwrap() error { return e.error }

// openMail connects to a mail server and starts TLS. The end of ctx closes the
// connection, so that a read on it returns an error.
func openMail(ctx context.Context, p *oauth.Provider, proto protocol.Protocol, e oauth.Endpoint) (*mailConn, error) {
	raw, err := upstream.Dial(ctx, p, e)
	if err != nil {
		return nil, &unreachableError{timeoutError(ctx, err)}
	}
	context.AfterFunc(ctx, func() { raw.Close() })
	c := &mailConn{}
	if e.StartTLS {
		if c.greeting, err = startTLS(raw, proto); err != nil {
			raw.Close()
			return nil, timeoutError(ctx, err)
		}
	}
	secure := tls.Client(raw, &tls.Config{ServerName: e.Host, RootCAs: p.RootCAs, MinVersion: tls.VersionTLS12})
	if err := secure.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, timeoutError(ctx, err)
	}
	c.Conn, c.state = secure, secure.ConnectionState()
	return c, nil
}

// timeoutError says that the time was over if an error is only that of the connection
// that was closed for it.
func timeoutError(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("no answer in time: %w", ctx.Err())
	}
	return err
}

// startTLSError is a server that refuses to start TLS.
type startTLSError struct {
	protocol protocol.Protocol
	response string
}

func (e *startTLSError) Error() string {
	return fmt.Sprintf("the server does not begin TLS by %s: %s", startTLSCommand[e.protocol], quoted(noSecrets, e.response))
}

var startTLSCommand = map[protocol.Protocol]string{protocol.IMAP: "STARTTLS", protocol.POP3: "STLS", protocol.SMTP: "STARTTLS"}

// maxPlain bounds what is read before TLS.
const maxPlain = 64 << 10

// startTLS asks a server to start TLS: RFC 9051 §6.2.1, RFC 2595 §4, RFC 3207. It
// returns a greeting for the client that takes the connection over.
func startTLS(conn net.Conn, proto protocol.Protocol) (greeting string, err error) {
	// Plaintext after the response is an injection. It stays in the buffer of t, which
	// is read no further.
	t := textproto.NewConn(struct {
		io.Reader
		io.WriteCloser
	}{io.LimitReader(conn, maxPlain), conn})
	switch proto {
	case protocol.IMAP:
		return "* OK TLS has begun\r\n", startTLSByLine(t, proto, "s1 STARTTLS", "S1 OK")
	case protocol.POP3:
		return "+OK TLS has begun\r\n", startTLSByLine(t, proto, "STLS", "+OK")
	}
	if _, _, err := t.ReadResponse(220); err != nil {
		return "", smtpRefusal(err)
	}
	for _, command := range []struct {
		line string
		code int
	}{{"EHLO localhost", 250}, {"STARTTLS", 220}} {
		if err := t.PrintfLine("%s", command.line); err != nil {
			return "", err
		}
		if _, _, err := t.ReadResponse(command.code); err != nil {
			return "", smtpRefusal(err)
		}
	}
	return "220 TLS has begun\r\n", nil
}

// startTLSByLine is startTLS of IMAP and POP3.
func startTLSByLine(t *textproto.Conn, proto protocol.Protocol, command, ok string) error {
	if _, err := t.ReadLine(); err != nil { // the greeting
		return err
	}
	line, err := exchange(t, command)
	for err == nil && strings.HasPrefix(line, "*") {
		line, err = t.ReadLine()
	}
	if err == nil && !strings.HasPrefix(strings.ToUpper(line), ok) {
		err = &startTLSError{proto, line}
	}
	return err
}

// smtpRefusal distinguishes an SMTP reply from a connection that broke.
func smtpRefusal(err error) error {
	if reply, ok := err.(*textproto.Error); ok {
		return &startTLSError{protocol.SMTP, reply.Error()}
	}
	return err
}

// exchange sends a line and returns the next line of the server.
func exchange(t *textproto.Conn, line string) (string, error) {
	if err := t.PrintfLine("%s", line); err != nil {
		return "", err
	}
	return t.ReadLine()
}
