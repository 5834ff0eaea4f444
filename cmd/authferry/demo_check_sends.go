package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"sync"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
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

// send sends the mail by SMTP.
func (t *trip) send() (string, error) {
	client, err := smtp.Dial(t.show.service.Address("smtp"))
	if err != nil {
		return "", err
	}
	t.closers.add(client)
	if err := client.Auth(sasl.NewPlainClient("", demoMailbox, t.plainPassword())); err != nil {
		return "", err
	}
	if err := client.SendMail(demoMailbox, []string{demoMailbox}, bytes.NewReader(t.mail)); err != nil {
		return "", err
	}
	return fmt.Sprintf("sent as %s, %s", demoMailbox, same(t.mail)), client.Quit()
}

// retrieve reads the mail by POP3 (RFC 1939), of which no client is at hand.
func (t *trip) retrieve() (string, error) {
	conn, err := net.Dial("tcp", t.show.service.Address("pop3"))
	if err != nil {
		return "", err
	}
	t.closers.add(conn)
	p := &popClient{text: textproto.NewConn(conn)}
	p.hear()
	p.ask("USER %s", demoMailbox)
	p.ask("PASS %s", t.plainPassword())
	var mails, size int
	fmt.Sscanf(p.ask("STAT"), "%d %d", &mails, &size)
	for n := mails; n > 0 && p.err == nil; n-- {
		p.ask("RETR %d", n)
		mail := p.body()
		if headerOf(mail, "Message-ID") != headerOf(t.mail, "Message-ID") {
			continue
		}
		got, err := expect(mail, t.mail)
		if err != nil {
			return "", err
		}
		p.ask("QUIT")
		return fmt.Sprintf("retrieved it as number %d of %d, %s", n, mails, same(got)), p.err
	}
	return "", errors.Join(p.err, errors.New("the mail sent is not among those of POP3"))
}

// popClient remembers the first error and does nothing after it.
type popClient struct {
	text *textproto.Conn
	err  error
}

// ask sends a command and returns what follows +OK.
func (p *popClient) ask(format string, args ...any) string {
	if p.err != nil {
		return ""
	}
	p.err = p.text.PrintfLine(format, args...)
	return p.hear()
}

func (p *popClient) hear() string {
	if p.err != nil {
		return ""
	}
	line, err := p.text.ReadLine()
	rest, ok := bytes.CutPrefix([]byte(line), []byte("+OK"))
	if err == nil && !ok {
		err = fmt.Errorf("the answer is %q", line)
	}
	p.err = err
	return string(bytes.TrimSpace(rest))
}

// body reads an answer of many lines. textproto's DotReader would turn CRLF
// into LF, and the bytes are what is checked.
func (p *popClient) body() []byte {
	var mail []byte
	for p.err == nil {
		line, err := p.text.R.ReadBytes('\n')
		if p.err = err; err != nil || string(line) == ".\r\n" {
			break
		}
		mail = append(mail, bytes.TrimPrefix(line, []byte("."))...)
	}
	return mail
}
