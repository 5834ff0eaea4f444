// Package filter restricts what a session may do after its login: a read-only
// password changes nothing in the mailbox (imap.go, pop3.go), and one with limits
// sends no more than they allow (smtp.go). Other sessions have no filter, and
// nothing reads their bytes.
//
// A filter forwards the client's commands that are allowed, and answers the others
// itself, between the provider's responses. It follows those byte for byte to know
// where one ends and the next begins.
//
// Provider and filter must never disagree on where a command begins, because then
// one could pass as part of another. So each line is forwarded with the one line
// end that all servers read alike, CRLF. Data that only the provider's consent
// distinguishes from commands (a literal, the message after DATA) is held back
// until the provider has consented.
package filter

import (
	"errors"
	"fmt"
	"sync"

	"authferry/internal/printable"
	"authferry/internal/protocol"
	"authferry/proxy/relay"
	"authferry/tokens"
)

// Options are what a session's filter depends on.
type Options struct {
	Protocol protocol.Protocol
	Vault    *tokens.Vault
	Grant    *tokens.Grant
	Chunking bool // SMTP: the provider supports BDAT (RFC 3030)
}

// New returns the filter that a session's password needs, or nil. Few need one.
func New(o Options, to relay.Sender) relay.Filter {
	rules := o.Grant.Password
	switch {
	case o.Protocol == protocol.IMAP && rules.ReadOnly:
		return newReadOnlyIMAP(newSession(o.Grant, to))
	case o.Protocol == protocol.POP3 && rules.ReadOnly:
		return newReadOnlyPOP3(newSession(o.Grant, to))
	case o.Protocol == protocol.SMTP && (rules.MessagesPerHour > 0 || rules.Recipients > 0 || o.Grant.Trusted):
		return newSendLimit(newSession(o.Grant, to), o)
	}
	return nil
}

// NetworkWords name a trusted network to the device in it.
const NetworkWords = "the network of this device"

// maxPasswordName is how much of a password's name a reply shows: an SMTP reply
// has 512 bytes for all of it (RFC 5321 §4.5.3.1.5).
const maxPasswordName = 160

const (
	// maxAwaited is how many commands of a client may be unanswered.
	maxAwaited = 4096
	// maxPending is how many bytes of answers may wait for the end of a response.
	maxPending = 256 << 10
)

var (
	errSessionOver     = errors.New("the session is over")
	errTooManyCommands = errors.New("the client sends commands without reading the answers")
	errUnexpectedMore  = errors.New("the provider asks for more of a command that is complete")
	errHalfACommand    = errors.New("cannot read the rest of a command whose beginning was forwarded")
)

// session is what the filters of all protocols have in common.
type session struct {
	sender   relay.Sender
	password string // its name, in words for the client

	line commandLine
	out  []byte // to be sent to the provider

	// Guarded by the sender.
	changed *sync.Cond // the provider has answered, or the session is over
	over    bool
}

func newSession(g *tokens.Grant, to relay.Sender) *session {
	s := &session{sender: to, changed: sync.NewCond(to), password: NetworkWords}
	if !g.Trusted {
		s.password = fmt.Sprintf("the password \"%s\"", printable.ASCII(g.PasswordName, maxPasswordName))
	}
	return s
}

// Close ends every wait.
func (s *session) Close() {
	s.sender.Lock()
	defer s.sender.Unlock()
	s.over = true
	s.changed.Broadcast()
}

// readLine takes a line, or what there is of it, from b and returns the rest.
func (s *session) readLine(b []byte) (line string, long bool, rest []byte, ok bool) {
	rest, ok = s.line.take(b)
	if ok {
		line, long = s.line.string(), s.line.long
		s.line.clear()
	}
	return line, long, rest, ok
}

// forward adds a line to what is sent to the provider.
func (s *session) forward(line string) { s.out = append(append(s.out, line...), "\r\n"...) }

// flush sends to the provider what has been forwarded.
func (s *session) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	err := s.sender.Put(s.out)
	if s.out = s.out[:0]; cap(s.out) > 4096 {
		s.out = nil // an idle session has to be small
	}
	return err
}

// await flushes and waits until done, which is called with the sender locked. It
// waits long only for a client that does not wait for answers itself.
func (s *session) await(done func() bool) error {
	if err := s.flush(); err != nil {
		return err
	}
	s.sender.Lock()
	defer s.sender.Unlock()
	for !done() {
		if s.over {
			return errSessionOver
		}
		s.changed.Wait()
	}
	return nil
}

// continuation is the state of a request for the provider's consent: to a literal,
// to DONE, or to the message after SMTP's DATA.
type continuation int

const (
	notRequested continuation = iota
	requested
	granted
	refused
)
