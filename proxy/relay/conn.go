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

// Conn is a connection that is read by lines before the login and by bytes after
// it. No byte is lost in between.
type Conn struct {
	net.Conn // the wire, or TLS over it
	Wire     *Wire
	Secure   bool          // TLS is on top of the wire
	r        *bufio.Reader // nil once bytes flow

	// idle and until are the limits of SetLimits. Without them the deadline of the
	// connection applies.
	idle  time.Duration
	until time.Time

	// said and heard trace lines; nil unless debugging.
	said, heard func(line string)
}

var (
	// ErrLineTooLong reports a line beyond the limit of ReadLine.
	ErrLineTooLong = errors.New("line too long")
	// ErrEarlyBytes reports that the peer sent more in the clear after the command
	// that starts TLS.
	ErrEarlyBytes = errors.New("bytes ahead of the TLS handshake")
	// ErrTLSHello reports that a client started TLS where lines were expected.
	ErrTLSHello = errors.New("a TLS handshake on a listener that expects plain text: in the mail program choose " +
		"STARTTLS where it is on offer or else no encryption, or give it a listener of imaps, pop3s or smtps")
)

// readers are the buffers of connections that have not logged in yet.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4096) }}

// NewConn returns a connection without TLS on a wire.
func NewConn(w *Wire) *Conn {
	c := &Conn{Conn: w, Wire: w, r: readers.Get().(*bufio.Reader)}
	c.r.Reset(w)
	return c
}

// ReadLine returns the next line without its end, CRLF or a bare LF: some devices
// and scripts send no CR. A line of more than limit bytes is [ErrLineTooLong].
// After that nothing more can be read.
func (c *Conn) ReadLine(limit int) (string, error) {
	if err := c.arm(); err != nil {
		return "", err
	}
	var begun []byte // of a line that arrives in pieces
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

// ReadBytes returns the next n bytes unchanged.
func (c *Conn) ReadBytes(n int) (string, error) {
	if err := c.arm(); err != nil {
		return "", err
	}
	b := make([]byte, n)
	_, err := io.ReadFull(c.r, b)
	return string(b), err
}

// StartsTLS waits for the first byte and reports whether it begins a TLS
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

// arm sets the deadline of the next line, if the connection has limits.
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

// Say writes lines, in one piece.
func (c *Conn) Say(lines ...string) error {
	if c.said != nil {
		for _, line := range lines {
			c.said(line)
		}
	}
	return c.write(strings.Join(lines, "\r\n") + "\r\n")
}

// Untraced stops the trace of what is written until again is called.
func (c *Conn) Untraced() (again func()) {
	trace := c.said
	c.said = nil
	return func() { c.said = trace }
}

// SayCredential writes a line that ends in a credential for the provider. It
// refuses to do so on a connection without TLS.
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

// StartTLSServer and StartTLSClient put TLS on top of the wire. They refuse if
// anything is buffered: it arrived in the clear before the handshake, and would be
// taken for bytes under TLS (CVE-2011-0411).
func (c *Conn) StartTLSServer(cfg *tls.Config) error {
	return c.startTLS(tls.Server(c.Wire.forTLS(), cfg))
}

// StartTLSClient is like [Conn.StartTLSServer], for the other side.
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

// Release returns what has been read beyond the last line and frees the buffer:
// no more lines can be read. It may be called again.
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
