package mailserver

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-smtp"

	"authferry/demo/eventlog"
	"authferry/demo/fault"
	"authferry/demo/mailstore"
)

// smtpConn is a logged-in connection as go-smtp is given it. It sends
// go-smtp the EHLO that go-smtp insists on, and translates go-smtp's replies to
// Gmail's. go-smtp writes one line a Write.
type smtpConn struct {
	net.Conn
	c       *conn
	mailbox *mailstore.Mailbox
	done    chan struct{} // closed when go-smtp is done
	once    sync.Once
	in      io.Reader

	// Only go-smtp's own goroutine writes.
	greeted    bool // its greeting has been dropped
	introduced bool // its answer to the EHLO from here has been dropped
}

// serve runs the session to its end.
func (t *smtpTalk) serve(m *mailstore.Mailbox) {
	introduction := strings.NewReader("EHLO client\r\n")
	s := &smtpConn{Conn: t.Conn, c: t.conn, mailbox: m, done: make(chan struct{}), in: io.MultiReader(introduction, t.r)}
	if !t.server.smtpDoor.hand(s) {
		return
	}
	t.inSession(&session{bye: s.bye})
	if t.fault() == fault.MailBye {
		s.bye()
	}
	<-s.done
}

// newSMTPEngine returns the server for sessions after their login.
func newSMTPEngine(server *Server) *smtp.Server {
	s := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &smtpSession{conn: c.Conn().(*smtpConn)}, nil
	}))
	s.Domain = "smtp.gmail.com"
	s.EnableSMTPUTF8 = true
	// One more than the limit: go-smtp refuses a message of exactly so many
	// octets. smtpSession counts octets itself.
	s.MaxMessageBytes = smtpSize + 1
	// Lines in a message may be of any length here; go-smtp cannot tell them
	// from commands.
	s.MaxLineLength = 2 * smtpSize
	s.ErrorLog = engineLog{server.options.Log, "smtp"}
	return s
}

func (s *smtpConn) Read(p []byte) (int, error) { return s.in.Read(p) }

// Close ends the wait of the login's goroutine: go-smtp is done.
func (s *smtpConn) Close() error {
	s.once.Do(func() { close(s.done) })
	return s.Conn.Close()
}

// bye ends the session as Gmail ends an idle one.
func (s *smtpConn) bye() {
	s.c.SetWriteDeadline(time.Now().Add(byeTime))
	s.c.printf("451 4.4.2 Timeout - closing connection. %s - gsmtp\r\n", s.c.id)
	s.c.raw.Close()
}

// gmailWords are the beginnings of go-smtp's replies and Gmail's for the same.
var gmailWords = []struct{ goSMTP, gmail string }{
	{"250 2.0.0 Roger, accepting mail from", "250 2.1.0 OK %s - gsmtp"},
	{"250 2.0.0 I'll make sure", "250 2.1.5 OK %s - gsmtp"},
	{"250 2.0.0 Session reset", "250 2.1.5 Flushed %s - gsmtp"},
	{"250 2.0.0 I have successfully done nothing", "250 2.0.0 OK %s - gsmtp"},
	{"250 2.0.0 Continue", "250 2.0.0 OK %s - gsmtp"},
	{"221 2.0.0 Bye", "221 2.0.0 closing connection %s - gsmtp"},
	{"354 Go ahead", "354  Go ahead %s - gsmtp"},
	{"502 5.5.1 Missing MAIL FROM", "503 5.5.1 MAIL first. %s - gsmtp"},
	{"502 5.5.1 Missing RCPT TO", "503 5.5.1 RCPT first. %s - gsmtp"},
	{"500 5.5.2 Error: bad syntax", "502 5.5.1 Unrecognized command. %s - gsmtp"},
	{"501 5.5.2 Bad command", "502 5.5.1 Unrecognized command. %s - gsmtp"},
	{"500 5.5.2 Syntax errors,", "502 5.5.1 Unrecognized command. %s - gsmtp"},
	{"502 5.5.1 TLS not supported", "454 5.5.1 STARTTLS may not be repeated. %s - gsmtp"},
	{"523 5.7.10", "503 5.7.0 No identity changes permitted. %s - gsmtp"},
	{"552 5.3.4", "552 5.2.3 Your message exceeded Google's message size limits. %s - gsmtp"},
}

func (s *smtpConn) Write(p []byte) (int, error) {
	switch {
	case !s.greeted:
		s.greeted = true
		return len(p), nil
	case bytes.HasPrefix(p, []byte("250-")) && !bytes.HasPrefix(p, []byte("250-Hello ")):
		return len(p), nil // the middle of an EHLO answer: Gmail's was sent at its first line
	case bytes.HasPrefix(p, []byte("250-Hello ")):
		if !s.introduced {
			return len(p), nil
		}
		return s.reply(p, strings.Join(ehlo(s.c.address(), true), "\r\n"))
	case bytes.HasPrefix(p, []byte("250 SIZE ")):
		s.introduced = true // its last line
		return len(p), nil
	}
	for _, w := range gmailWords {
		if bytes.HasPrefix(p, []byte(w.goSMTP)) {
			return s.reply(p, strings.ReplaceAll(w.gmail, "%s", s.c.id))
		}
	}
	return s.Conn.Write(p)
}

func (s *smtpConn) reply(instead []byte, line string) (int, error) {
	if _, err := io.WriteString(s.Conn, line+"\r\n"); err != nil {
		return 0, err
	}
	return len(instead), nil
}

// smtpSession is one client's session after its login.
type smtpSession struct {
	conn *smtpConn
	from string
	to   []string
}

var errTooLarge = &smtp.SMTPError{Code: 552, EnhancedCode: smtp.EnhancedCode{5, 3, 4}, Message: "Max message size exceeded"}

func (s *smtpSession) Reset()        { s.from, s.to = "", nil }
func (s *smtpSession) Logout() error { return nil }

// Mail begins a message.
func (s *smtpSession) Mail(from string, options *smtp.MailOptions) error {
	if options.Size > smtpSize {
		return errTooLarge
	}
	s.from = from
	return nil
}

// Rcpt adds a recipient. All are accepted; those not simulated get nothing.
func (s *smtpSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

// Data takes the message, unchanged, to its recipients here and to the
// sender's Sent Mail, as Gmail does.
func (s *smtpSession) Data(r io.Reader) error {
	c := s.conn.c
	var b bytes.Buffer
	if _, err := io.CopyN(&b, r, 512); err != nil && err != io.EOF {
		return err
	}
	if c.fault() == fault.MailCutMessage {
		c.cut("in the middle of a message")
		return errCut
	}
	if _, err := io.CopyN(&b, r, smtpSize); err != nil && err != io.EOF {
		return err
	}
	message := b.Bytes()
	if len(message) > smtpSize {
		io.Copy(io.Discard, r)
		return errTooLarge
	}
	c.logf("a message of %d bytes from <%s> to %s", len(message), eventlog.Quote(s.from), eventlog.Quote(strings.Join(s.to, ", ")))
	delivered := make(map[*mailstore.Mailbox]bool)
	for _, to := range s.to {
		m := c.server.options.Store.Recipient(to)
		if m == nil {
			c.logf("no mailbox here has the address %s: the message is dropped for that recipient", eventlog.Quote(to))
		} else if !delivered[m] {
			delivered[m] = true
			m.Deliver("INBOX", message)
		}
	}
	s.conn.mailbox.Deliver(mailstore.SentFolder, message, imap.FlagSeen)
	// go-smtp takes the text of a success from an error of class 2.
	return &smtp.SMTPError{
		Code:         250,
		EnhancedCode: smtp.EnhancedCode{2, 0, 0},
		Message:      fmt.Sprintf("OK  %d %s - gsmtp", time.Now().Unix(), c.id),
	}
}
