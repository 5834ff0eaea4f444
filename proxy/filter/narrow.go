package filter

import (
	"bytes"
	"errors"
	"strings"
	"sync"

	"authferry/proxy/relay"
)

// narrowing reads along in a session whose password may do less than its
// mailbox could: a read-only one, or one that may send so much and no more.
// Other sessions have none, and their bytes are never looked at.
//
// hear decides which of the client's commands go on to the provider. What it
// keeps back is answered from here, in between the provider's own responses:
// tell follows those, byte for byte, to know where one ends and the next begins.
//
// The one thing that must not happen is that provider and narrowing disagree on
// where a command begins, for then a command could travel as part of another.
// So a line goes on with the one line end that everybody understands, CRLF, and
// data that only the provider's consent tells from commands (a literal, a
// message behind DATA) is held back until the provider has consented.
type narrowing struct {
	to       relay.Sender
	password string // its name, in words for the peer

	// hear takes what the client sends, whatever the chunks. tell takes what the
	// provider sends, with the sender locked, and returns what the client gets.
	hear func([]byte) error
	tell func([]byte) ([]byte, error)
	last func() // told of the session's end, with the sender locked; may be nil

	line commandLine
	out  []byte // on its way to the provider

	// Guarded by the sender.
	turn *sync.Cond // the provider has consented or refused, or the session is over
	gone bool
}

var (
	errSessionOver    = errors.New("the session is over")
	errTooMuchAtOnce  = errors.New("the client sends commands without reading the answers")
	errUnaskedForMore = errors.New("the provider asks for more of a command that is complete")
)

// mostAwaited is how many commands a client may have under way, and mostPending
// how many bytes of answers may wait for a response of the provider to end.
const (
	mostAwaited = 4096
	mostPending = 256 << 10
)

// flush sends on what hear has decided so far.
func (n *narrowing) flush() error {
	if len(n.out) == 0 {
		return nil
	}
	err := n.to.Put(n.out)
	if n.out = n.out[:0]; cap(n.out) > 4096 {
		n.out = nil // idle sessions are to be small
	}
	return err
}

// await sends on what there is and waits until done, which is called with
// the sender locked. Only a client that does not wait itself makes it wait long.
func (n *narrowing) await(done func() bool) error {
	if err := n.flush(); err != nil {
		return err
	}
	n.to.Lock()
	defer n.to.Unlock()
	for !done() {
		if n.gone {
			return errSessionOver
		}
		n.turn.Wait()
	}
	return nil
}

// FromClient is part of [relay.Filter].
func (n *narrowing) FromClient(b []byte) error { return n.hear(b) }

// FromProvider is part of [relay.Filter].
func (n *narrowing) FromProvider(b []byte) ([]byte, error) { return n.tell(b) }

// Close ends every wait: the session is over.
func (n *narrowing) Close() {
	n.to.Lock()
	defer n.to.Unlock()
	n.gone = true
	if n.last != nil {
		n.last()
	}
	n.turn.Broadcast()
}

// commandLine collects one line of a client.
type commandLine struct {
	text []byte
	long bool // beyond maxCommandLine: text is its beginning and its end
}

const (
	// maxCommandLine bounds a line after login, of which RFC 7162 §4 has
	// servers take 8192 octets; Thunderbird is known for long ones.
	maxCommandLine = 64 << 10
	// longEnds is how much is kept of either end of a longer one.
	longEnds = 128
)

// take takes bytes up to the end of the line and returns the rest. The line is
// complete if done; clear makes room for the next.
func (l *commandLine) take(b []byte) (rest []byte, done bool) {
	part := b
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		part, rest, done = b[:i], b[i+1:], true
	}
	l.text = append(l.text, part...)
	if len(l.text) > maxCommandLine || l.long && len(l.text) > 4*longEnds {
		l.long = true
		l.text = append(l.text[:longEnds:longEnds], l.text[len(l.text)-longEnds:]...)
	}
	return rest, done
}

// string is the line without its end, CRLF or a bare LF.
func (l *commandLine) string() string { return strings.TrimSuffix(string(l.text), "\r") }

func (l *commandLine) clear() {
	l.long = false
	if l.text = l.text[:0]; cap(l.text) > 4096 {
		l.text = nil
	}
}

// misread tells whether a line has bytes in it that one server may take for the
// end of a line and another for part of it.
func misread(line string) bool { return strings.ContainsAny(line, "\r\n\x00") }

// partialLine is the provider's line under way to the client: its beginning and
// its end, which is all that framing needs.
type partialLine struct {
	head, tail []byte
	size       int // line end included
}

// headSize has room for a tag and what follows it, tailSize for a literal's size.
const headSize, tailSize = 80, 24

// add takes bytes up to and with the line end, and tells how many.
func (p *partialLine) add(b []byte) (n int, ended bool) {
	n = len(b)
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		n, ended = i+1, true
	}
	b = b[:n]
	p.size += n
	if room := headSize - len(p.head); room > 0 {
		p.head = append(p.head, b[:min(room, n)]...)
	}
	p.tail = append(p.tail, b[max(0, n-tailSize):]...)
	if extra := len(p.tail) - tailSize; extra > 0 {
		p.tail = append(p.tail[:0], p.tail[extra:]...)
	}
	return n, ended
}

func (p *partialLine) reset() { p.head, p.tail, p.size = p.head[:0], p.tail[:0], 0 }

// splice makes a copy of b with pieces cut out and put in, if there are any.
type splice struct {
	b    []byte
	from int // what of b has not been dealt with
	out  []byte
	cuts bool
}

func (s *splice) insert(at int, text string) {
	if text == "" {
		return
	}
	s.out = append(append(s.out, s.b[s.from:at]...), text...)
	s.from, s.cuts = at, true
}

func (s *splice) cut(at, to int) {
	s.out = append(s.out, s.b[s.from:at]...)
	s.from, s.cuts = to, true
}

func (s *splice) result() []byte {
	if !s.cuts {
		return s.b
	}
	return append(s.out, s.b[s.from:]...)
}
