package check

import (
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
)

// plainError is a server that does not begin TLS when asked to.
type plainError struct{ protocol, said string }

func (e *plainError) Error() string {
	return fmt.Sprintf("the server does not begin TLS by %s: %s", startCommand[e.protocol], secrets(nil).said(e.said))
}

var startCommand = map[string]string{"imap": "STARTTLS", "pop3": "STLS", "smtp": "STARTTLS"}

// startTLS asks a server to begin TLS: RFC 9051 §6.2.1, RFC 2595 §4, RFC 3207.
// It returns a greeting for whoever speaks next.
func startTLS(conn net.Conn, protocol string) (greeting string, err error) {
	// What came in the clear beyond the answer is somebody's injection. It stays
	// behind in the buffer of t, where nobody reads it.
	t := textproto.NewConn(struct {
		io.Reader
		io.WriteCloser
	}{io.LimitReader(conn, maxAnswer), conn})
	switch protocol {
	case "imap":
		return "* OK TLS has begun\r\n", startByLine(t, protocol, "s1 STARTTLS", "S1 OK")
	case "pop3":
		return "+OK TLS has begun\r\n", startByLine(t, protocol, "STLS", "+OK")
	}
	if _, _, err := t.ReadResponse(220); err != nil {
		return "", refusedPlain(err)
	}
	for _, command := range []struct {
		line string
		code int
	}{{"EHLO localhost", 250}, {"STARTTLS", 220}} {
		if err := t.PrintfLine("%s", command.line); err != nil {
			return "", err
		}
		if _, _, err := t.ReadResponse(command.code); err != nil {
			return "", refusedPlain(err)
		}
	}
	return "220 TLS has begun\r\n", nil
}

// startByLine is IMAP's way, and POP3's.
func startByLine(t *textproto.Conn, protocol, command, yes string) error {
	if _, err := t.ReadLine(); err != nil { // the greeting
		return err
	}
	line, err := ask(t, command)
	for err == nil && strings.HasPrefix(line, "*") {
		line, err = t.ReadLine()
	}
	if err == nil && !strings.HasPrefix(strings.ToUpper(line), yes) {
		err = &plainError{protocol, line}
	}
	return err
}

// refusedPlain tells a reply of SMTP's from a connection that broke.
func refusedPlain(err error) error {
	if reply, ok := err.(*textproto.Error); ok {
		return &plainError{"smtp", reply.Error()}
	}
	return err
}
