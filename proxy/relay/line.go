package relay

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
type Conn struct {
	net.Conn // the wire, or TLS over it
	Wire     *Wire
	r        *bufio.Reader // nil once bytes flow
	Secure   bool          // TLS is under the lines

	// idle and until bound each line of a client: how long one may take to
	// come or to go, and when all of them must have come. Zero: the deadline
	// of the connection, set by whoever dialled it, holds.
	idle  time.Duration
	until time.Time

	// trace is told what we say, without secrets, and traceIn what the peer
	// says, which only a provider may be quoted with; nil unless debugging.
	said, heard func(line string)
}

var (
	ErrLineTooLong = errors.New("line too long")
	ErrEarlyBytes  = errors.New("bytes ahead of the TLS handshake")
	ErrTLSHello    = errors.New("a TLS handshake on a listener that expects plain text: in the mail program choose " +
		"STARTTLS where it is on offer or else no encryption, or give it a listener of imaps, pop3s or smtps")
)

// readers are the buffers of connections that have not logged in yet.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4096) }}

func NewConn(w *Wire) *Conn {
	c := &Conn{Conn: w, Wire: w, r: readers.Get().(*bufio.Reader)}
	c.r.Reset(w)
	return c
}

// readLine returns the next line without its end, CRLF or a bare LF: some
// devices and scripts send no CR. A line of more than limit bytes is
// errLineTooLong, after which the connection is good for a last word only.
func (c *Conn) ReadLine(limit int) (string, error) {
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
			return "", ErrLineTooLong
		}
		if end >= 0 {
			line := string(append(begun, part...))
			c.r.Discard(end + 1)
			if line = strings.TrimSuffix(line, "\r"); len(line) > limit {
				return "", ErrLineTooLong
			}
			if c.heard != nil {
				c.heard(line)
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
func (c *Conn) ReadBytes(n int) (string, error) {
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
func (c *Conn) StartsTLS() (bool, error) {
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
func (c *Conn) arm() error {
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
func (c *Conn) Say(lines ...string) error {
	if c.said != nil {
		for _, line := range lines {
			c.said(line)
		}
	}
	return c.write(strings.Join(lines, "\r\n") + "\r\n")
}

// untraced keeps what is said out of the trace until the function it returns is called.
func (c *Conn) Untraced() (again func()) {
	trace := c.said
	c.said = nil
	return func() { c.said = trace }
}

// sayCredential writes a line that ends in a credential for the provider. It
// refuses to on a connection without TLS, however that may have come about.
func (c *Conn) SayCredential(command, credential string) error {
	if !c.Secure {
		return errors.New("refusing to send a token without TLS")
	}
	if c.said != nil {
		c.said(command + "***")
	}
	return c.write(command + credential + "\r\n")
}

func (c *Conn) write(s string) error {
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
func (c *Conn) StartTLSServer(cfg *tls.Config) error {
	return c.startTLS(tls.Server(c.Wire.forTLS(), cfg))
}
func (c *Conn) StartTLSClient(cfg *tls.Config) error {
	return c.startTLS(tls.Client(c.Wire.forTLS(), cfg))
}

func (c *Conn) startTLS(t *tls.Conn) error {
	if c.Early() {
		return ErrEarlyBytes
	}
	if err := c.arm(); err != nil {
		return err
	}
	if err := t.Handshake(); err != nil {
		return err
	}
	c.Conn, c.Secure = t, true
	c.r.Reset(t)
	return nil
}

// Early reports whether the peer has sent more than what has been read.
func (c *Conn) Early() bool { return c.r.Buffered() > 0 }

// Peek returns up to n bytes that have arrived and not been read. It does not wait.
func (c *Conn) Peek(n int) []byte {
	b, _ := c.r.Peek(min(n, c.r.Buffered()))
	return b
}

// SetLimits bounds how long each line may take to be read or written, and when
// all lines must have been read.
func (c *Conn) SetLimits(line time.Duration, all time.Time) { c.idle, c.until = line, all }

// SetTrace sets what is told each line that is written, without its secrets, and
// each line that is read. Either may be nil.
func (c *Conn) SetTrace(said, heard func(line string)) { c.said, c.heard = said, heard }

// unread returns what has been read beyond the last line and frees the buffer;
// from then on the connection is for relay alone.
func (c *Conn) Release() []byte {
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
