package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// lineConn is a connection read by lines before login and by bytes after it,
// losing nothing between.
type lineConn struct {
	net.Conn // the wire, or TLS over it
	wire     *wire
	r        *bufio.Reader // nil once bytes flow
	secure   bool          // TLS is under the lines

	// idle and until bound each line of a client: how long one may take to
	// come or to go, and when all of them must have come. Zero: the deadline
	// of the connection, set by whoever dialled it, holds.
	idle  time.Duration
	until time.Time

	// trace is told what we say, without secrets, and traceIn what the peer
	// says, which only a provider may be quoted with; nil unless debugging.
	trace, traceIn func(line string)
}

var (
	errLineTooLong = errors.New("line too long")
	errEarlyBytes  = errors.New("bytes ahead of the TLS handshake")
	errTLSHello    = errors.New("a TLS handshake on a listener that expects plain text: in the mail program choose " +
		"STARTTLS where it is on offer or else no encryption, or give it a listener of imaps, pop3s or smtps")
)

// readers are the buffers of connections that have not logged in yet.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4096) }}

func newLineConn(w *wire) *lineConn {
	c := &lineConn{Conn: w, wire: w, r: readers.Get().(*bufio.Reader)}
	c.r.Reset(w)
	return c
}

// readLine returns the next line without its end, CRLF or a bare LF: some
// devices and scripts send no CR. A line of more than limit bytes is
// errLineTooLong, after which the connection is good for a last word only.
func (c *lineConn) readLine(limit int) (string, error) {
	if err := c.arm(); err != nil {
		return "", err
	}
	var begun []byte // of a line that came in pieces
	for {
		part, _ := c.r.Peek(c.r.Buffered())
		end := bytes.IndexByte(part, '\n')
		if end >= 0 {
			part = part[:end]
		}
		if len(begun)+len(part) > limit+len("\r") {
			return "", errLineTooLong
		}
		if end >= 0 {
			line := string(append(begun, part...))
			c.r.Discard(end + 1)
			if line = strings.TrimSuffix(line, "\r"); len(line) > limit {
				return "", errLineTooLong
			}
			if c.traceIn != nil {
				c.traceIn(line)
			}
			return line, nil
		}
		begun = append(begun, part...)
		c.r.Discard(len(part))
		if _, err := c.r.Peek(1); err != nil {
			if err == io.EOF && len(begun) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
	}
}

// readBytes returns the next n bytes, as they are.
func (c *lineConn) readBytes(n int) (string, error) {
	if err := c.arm(); err != nil {
		return "", err
	}
	b := make([]byte, n)
	_, err := io.ReadFull(c.r, b)
	return string(b), err
}

// startsTLS waits for the first byte and tells whether it begins a TLS
// handshake: a record of type 22 and version 3.x, or the SSLv2 form of a hello
// that very old clients send (RFC 5246 §E.2).
func (c *lineConn) startsTLS() (bool, error) {
	if err := c.arm(); err != nil {
		return false, err
	}
	first, err := c.r.Peek(1)
	if err != nil || first[0] != 0x16 && first[0]&0x80 == 0 {
		return false, err
	}
	b, err := c.r.Peek(3)
	if err != nil {
		return false, err
	}
	return b[0] == 0x16 && b[1] == 3 || b[0]&0x80 != 0 && b[2] == 1, nil
}

// arm gives the peer its time for the next line, if this connection has such limits.
func (c *lineConn) arm() error {
	if c.idle == 0 {
		return nil
	}
	deadline := time.Now().Add(c.idle)
	if c.until.Before(deadline) {
		deadline = c.until
	}
	return c.SetDeadline(deadline)
}

// say writes lines, in one piece.
func (c *lineConn) say(lines ...string) error {
	if c.trace != nil {
		for _, line := range lines {
			c.trace(line)
		}
	}
	return c.write(strings.Join(lines, "\r\n") + "\r\n")
}

// untraced keeps what is said out of the trace until the function it returns is called.
func (c *lineConn) untraced() (again func()) {
	trace := c.trace
	c.trace = nil
	return func() { c.trace = trace }
}

// sayCredential writes a line that ends in a credential for the provider. It
// refuses to on a connection without TLS, however that may have come about.
func (c *lineConn) sayCredential(command, credential string) error {
	if !c.secure {
		return errors.New("refusing to send a token without TLS")
	}
	if c.trace != nil {
		c.trace(command + "***")
	}
	return c.write(command + credential + "\r\n")
}

func (c *lineConn) write(s string) error {
	if c.idle != 0 {
		if err := c.SetWriteDeadline(time.Now().Add(c.idle)); err != nil {
			return err
		}
	}
	_, err := io.WriteString(c.Conn, s)
	return err
}

// startTLSServer and startTLSClient put TLS on top of the wire. They refuse if
// anything is buffered: it came ahead of the handshake, in the clear, and
// would be taken for what came under TLS (CVE-2011-0411).
func (c *lineConn) startTLSServer(cfg *tls.Config) error {
	return c.startTLS(tls.Server(c.wire.forTLS(), cfg))
}
func (c *lineConn) startTLSClient(cfg *tls.Config) error {
	return c.startTLS(tls.Client(c.wire.forTLS(), cfg))
}

func (c *lineConn) startTLS(t *tls.Conn) error {
	if c.early() {
		return errEarlyBytes
	}
	if err := c.arm(); err != nil {
		return err
	}
	if err := t.Handshake(); err != nil {
		return err
	}
	c.Conn, c.secure = t, true
	c.r.Reset(t)
	return nil
}

// early tells whether the peer has sent more than what has been read.
func (c *lineConn) early() bool { return c.r.Buffered() > 0 }

// unread returns what has been read beyond the last line and frees the buffer;
// from then on the connection is for relay alone.
func (c *lineConn) unread() []byte {
	if c.r == nil {
		return nil
	}
	var left []byte
	if n := c.r.Buffered(); n > 0 {
		left = make([]byte, n)
		io.ReadFull(c.r, left)
	}
	c.r.Reset(nil)
	readers.Put(c.r)
	c.r, c.idle = nil, 0
	return left
}
