// Package mailserver is the mail side of the simulated Gmail: IMAP, POP3 and SMTP
// over the mailboxes of a store.
//
// Up to the login each protocol is spoken here, byte for byte as Gmail was seen to
// speak it: greetings, capabilities, SASL challenges, refusals. After it IMAP is
// served by go-imap's imapserver and SMTP by go-smtp, two engines that authferry
// does not contain; POP3 is small enough to be served here.
package mailserver

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-smtp"

	"authferry/demo/eventlog"
	"authferry/demo/fault"
	"authferry/demo/mailstore"
)

// Authorizer checks access tokens.
type Authorizer interface {
	// Authorize returns when a token that opens the mailbox expires. An error
	// says what is wrong with the token.
	Authorize(token, mailbox string) (expires time.Time, err error)
}

// Options describe the servers. The last four are as in demo.Options, with their
// defaults filled in.
type Options struct {
	Store       *mailstore.Store
	Faults      *fault.Injector
	Log         *eventlog.Log
	Auth        Authorizer
	Certificate tls.Certificate

	SessionLife     time.Duration
	MaxSessions     int
	AllCapabilities bool
	GreetingDelay   time.Duration
}

// Listeners are where the servers listen: with TLS from the first byte, but for
// SMTPStartTLS, which is Gmail's port 587.
type Listeners struct{ IMAP, POP3, SMTP, SMTPStartTLS net.Listener }

// Server is the three running servers.
type Server struct {
	options  Options
	tls      *tls.Config
	imap     *imapserver.Server
	smtp     *smtp.Server
	imapDoor *door
	smtpDoor *door

	closing chan struct{}
	running sync.WaitGroup
	engines sync.WaitGroup

	mu     sync.Mutex
	conns  map[*conn]struct{}
	closed bool
	early  int
}

// Start serves on listeners until they are closed.
func Start(l Listeners, o Options) *Server {
	s := newServer(o)
	s.running.Go(func() { s.serve(l.IMAP, "imap", true, talkIMAP) })
	s.running.Go(func() { s.serve(l.POP3, "pop3", true, talkPOP3) })
	s.running.Go(func() { s.serve(l.SMTP, "smtp", true, talkSMTP) })
	s.running.Go(func() { s.serve(l.SMTPStartTLS, "smtp", false, talkSMTP) })
	return s
}

// newServer starts the engines that serve sessions after their login.
func newServer(o Options) *Server {
	s := &Server{
		options:  o,
		tls:      &tls.Config{Certificates: []tls.Certificate{o.Certificate}, MinVersion: tls.VersionTLS12},
		imapDoor: newDoor(),
		smtpDoor: newDoor(),
		closing:  make(chan struct{}),
		conns:    make(map[*conn]struct{}),
	}
	o.Faults.OnMail(s.faultChanged)
	s.imap = newIMAPEngine(s)
	s.smtp = newSMTPEngine(s)
	s.engines.Go(func() { s.imap.Serve(s.imapDoor) })
	s.engines.Go(func() { s.smtp.Serve(s.smtpDoor) })
	// An engine must not be closed before it serves.
	<-s.imapDoor.open
	<-s.smtpDoor.open
	return s
}

// Close ends every connection. The listeners must have been closed.
func (s *Server) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	close(s.closing)
	for c := range s.conns {
		c.raw.Close()
	}
	s.mu.Unlock()
	s.imapDoor.Close()
	s.smtpDoor.Close()
	s.engines.Wait() // imapserver's Close races with a Serve that is just beginning
	s.imap.Close()
	s.smtp.Close()
	s.running.Wait()
}

// EarlyTalkers returns how many connections sent bytes before they were greeted,
// or ahead of a TLS handshake.
func (s *Server) EarlyTalkers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.early
}

// serve accepts connections until the listener is closed.
func (s *Server) serve(l net.Listener, protocol string, implicit bool, talk func(*conn)) {
	for {
		raw, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.options.Log.Printf("%s: a connection could not be accepted: %v", protocol, err)
			continue
		}
		c := &conn{Conn: raw, raw: raw, r: bufio.NewReader(raw), server: s, protocol: protocol}
		if !s.enter(c) {
			raw.Close()
			return
		}
		s.running.Go(func() {
			defer s.leave(c)
			if implicit && c.handshake() != nil {
				return
			}
			c.begin(talk)
		})
	}
}

func (s *Server) enter(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) leave(c *conn) {
	c.Close()
	c.raw.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// faultChanged brings a fault that ends sessions to those under way.
func (s *Server) faultChanged(protocol string, m fault.MailFault) {
	s.options.Log.Printf("%s: fault %q from now on", protocol, m)
	if m != fault.MailBye {
		return
	}
	var ending []func()
	s.mu.Lock()
	for c := range s.conns {
		if c.protocol == protocol && c.session != nil {
			ending = append(ending, c.session.bye)
		}
	}
	s.mu.Unlock()
	var done sync.WaitGroup
	for _, bye := range ending {
		done.Go(bye)
	}
	done.Wait()
}
