package demo

import (
	"bufio"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// handshakeTime bounds a TLS handshake.
const handshakeTime = 10 * time.Second

// conn is a client's connection up to its login.
type conn struct {
	net.Conn          // TLS, or raw before STARTTLS
	raw      net.Conn // TCP; closing it cuts TLS short without a farewell
	r        *bufio.Reader
	p        *Provider
	protocol string
	id       string // as Gmail appends it to its replies
	session  *session
}

// session is what a fault may do to a connection after its login.
type session struct {
	bye func() // ends it with the protocol's words, if it has any
}

// serve accepts connections until the listener is closed.
func (p *Provider) serve(l net.Listener, protocol string, implicit bool, talk func(*conn)) {
	for {
		raw, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			p.logf("%s: a connection could not be accepted: %v", protocol, err)
			continue
		}
		c := &conn{Conn: raw, raw: raw, r: bufio.NewReader(raw), p: p, protocol: protocol}
		if !p.enter(c) {
			raw.Close()
			return
		}
		p.running.Go(func() {
			defer p.leave(c)
			if implicit && c.handshake() != nil {
				return
			}
			c.begin(talk)
		})
	}
}

func (p *Provider) enter(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Provider) leave(c *conn) {
	c.Close()
	c.raw.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// begin runs a dialogue, unless a fault keeps it from beginning.
func (c *conn) begin(talk func(*conn)) {
	if c.fault() == MailStall {
		c.logf("left without a greeting")
		io.Copy(io.Discard, c.r)
		return
	}
	c.watchForEarlyTalk()
	talk(c)
}

// fault is what the connection's protocol is to do now instead of its work.
func (c *conn) fault() MailFault { return c.p.Faults.mailFault(c.protocol) }

func (c *conn) handshake() error {
	t := tls.Server(c.raw, c.p.tls)
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
	c.SetReadDeadline(time.Now().Add(c.p.options.GreetingDelay))
	_, err := c.r.Peek(1)
	c.SetReadDeadline(time.Time{})
	if err == nil {
		c.tooEarly("client spoke before the greeting")
	}
}

func (c *conn) tooEarly(what string) {
	c.p.mu.Lock()
	c.p.early++
	c.p.mu.Unlock()
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

// lingerTime is how long a client is given to take the last words.
const lingerTime = time.Second

// linger waits for the client to close. To close first, with input unread,
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

// shown makes what a peer said fit for a log line.
func shown(s string) string {
	if len(s) > 160 {
		s = s[:160] + "..."
	}
	if q := strconv.Quote(s); q != `"`+s+`"` {
		return q
	}
	return s
}

func (c *conn) logf(format string, args ...any) {
	c.p.logf("%s %s: %s", c.protocol, c.raw.RemoteAddr(), fmt.Sprintf(format, args...))
}

// address is the client's, as Gmail shows it in greetings.
func (c *conn) address() string {
	host, _, err := net.SplitHostPort(c.raw.RemoteAddr().String())
	if err != nil {
		return c.raw.RemoteAddr().String()
	}
	return host
}

// inSession makes the connection known to faults that end live sessions.
func (c *conn) inSession(s *session) {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.session = s
}

// faultChanged brings a fault that ends sessions to those under way.
func (p *Provider) faultChanged(protocol string, m MailFault) {
	p.logf("%s: fault %q from now on", protocol, m)
	if m != MailBye {
		return
	}
	var ending []func()
	p.mu.Lock()
	for c := range p.conns {
		if c.protocol == protocol && c.session != nil {
			ending = append(ending, c.session.bye)
		}
	}
	p.mu.Unlock()
	var done sync.WaitGroup
	for _, bye := range ending {
		done.Go(bye)
	}
	done.Wait()
}

// Gmail's ids are letters and digits in fixed shapes.

func randomBelow(n int) int {
	i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return int(i.Int64())
}

func randomFrom(alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[randomBelow(len(alphabet))]
	}
	return string(b)
}

func randomLetters(n int) string { return randomFrom("abcdefghijklmnopqrstuvwxyz", n) }
func randomHex(n int) string     { return randomFrom("0123456789abcdef", n) }
