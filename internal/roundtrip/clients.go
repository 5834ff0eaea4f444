package roundtrip

import (
	"bytes"
	"fmt"
	"io"
	"net/textproto"
	"strings"
	"sync"
)

// closers are the connections of a round trip, closed together.
type closers struct {
	mu     sync.Mutex
	list   []io.Closer
	closed bool
}

func (c *closers) add(conn io.Closer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, conn)
	if c.closed {
		conn.Close()
	}
}

func (c *closers) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, conn := range c.list {
		conn.Close()
	}
}

// POP3 is a POP3 client (RFC 1939). It does nothing after its first error.
type POP3 struct {
	Err  error
	text *textproto.Conn
}

// NewPOP3 returns a client that has read the greeting.
func NewPOP3(conn io.ReadWriteCloser) *POP3 {
	p := &POP3{text: textproto.NewConn(conn)}
	p.answer()
	return p
}

// Ask sends a command and returns what follows +OK.
func (p *POP3) Ask(format string, args ...any) string {
	if p.Err != nil {
		return ""
	}
	p.Err = p.text.PrintfLine(format, args...)
	return p.answer()
}

func (p *POP3) answer() string {
	if p.Err != nil {
		return ""
	}
	line, err := p.text.ReadLine()
	rest, ok := strings.CutPrefix(line, "+OK")
	if err == nil && !ok {
		err = fmt.Errorf("the answer is %q", line)
	}
	p.Err = err
	return strings.TrimSpace(rest)
}

// Body reads a multi-line answer. textproto's DotReader would turn CRLF into LF, but
// every byte is compared.
func (p *POP3) Body() []byte {
	var mail []byte
	for p.Err == nil {
		line, err := p.text.R.ReadBytes('\n')
		if p.Err = err; err != nil || string(line) == ".\r\n" {
			break
		}
		mail = append(mail, bytes.TrimPrefix(line, []byte("."))...)
	}
	return mail
}
