package proxy

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"authferry/internal/testtls"
	"authferry/proxy/dialoguetest"
)

// The files in testdata/dialogues are conversations with both legs on one
// page; testdata/dialogues/README describes their format.

const (
	dialogueUser = dialoguetest.User
	patience     = 20 * time.Second // for anything that is to happen
)

// dialogue is one file being played.
type dialogue struct {
	*testing.T
	head     map[string]string
	expand   *strings.Replacer
	server   *Server
	legs     map[byte]*leg // 'c' the mail program's socket, 'p' the provider's
	incoming chan net.Conn // at the provider
	log      *lockedBuffer
	attempts attempts
	refresh  atomic.Int32 // calls to the token endpoint
	port     int          // of the provider
}

// leg is our end of one socket.
type leg struct {
	net.Conn
	r      *bufio.Reader
	closed bool
}

func TestDialogues(t *testing.T) {
	files, err := filepath.Glob("testdata/dialogues/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no dialogues", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, before) }) // the first to be said is the last to be done
			d, steps := newDialogue(t, file)
			d.play(steps)
			d.hangUp()
			d.readLog(steps)
		})
	}
}

func (d *dialogue) play(steps []dialoguetest.Step) {
	for rest := steps; len(rest) > 0; {
		s := rest[0]
		if s.Who == 'l' {
			rest = rest[1:]
			continue
		}
		l := d.leg(s)
		l.SetDeadline(time.Now().Add(patience))
		if s.Who == 'c' || s.Who == 'p' {
			d.expect(s, l)
		} else if said, n := d.said(rest); n == 0 {
			d.act(s, l)
		} else if _, err := l.Write(said); err != nil {
			d.Fatalf("line %d: %v", s.Line, err)
		} else {
			rest = rest[n-1:]
		}
		rest = rest[1:]
	}
}

// said is what one side says without a break: it goes out in one piece. n is
// the number of lines; 0 if the first is a verb.
func (d *dialogue) said(steps []dialoguetest.Step) (said []byte, n int) {
	for n < len(steps) && steps[n].Who == steps[0].Who && !steps[n].IsVerb() {
		said = append(said, d.filler().Line(steps[n].Text)...)
		n++
	}
	return said, n
}

// act does what a verb of a speaker says.
func (d *dialogue) act(s dialoguetest.Step, l *leg) {
	switch s.Text {
	case "<close>":
		l.Close()
		l.closed = true
	case "<cut>": // a reset, as a crash or a firewall makes it
		c := l.Conn
		if t, ok := c.(*tls.Conn); ok {
			c = t.NetConn()
		}
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
		l.closed = true
	case "<stall>": // says nothing until the other side gives up
		d.expectEnd(s, l)
	case "<tls>":
		t := tls.Client(l.Conn, testtls.ClientTLS())
		if s.Who == 'P' {
			t = tls.Server(l.Conn, testtls.ServerTLS())
		}
		if err := t.Handshake(); err != nil {
			d.Fatalf("line %d: %v", s.Line, err)
		}
		l.Conn, l.r = t, bufio.NewReader(t)
	}
}

// expect compares what we say with a line of the file, in which * stands for
// anything.
func (d *dialogue) expect(s dialoguetest.Step, l *leg) {
	switch s.Text {
	case "<close>":
		d.expectEnd(s, l)
		return
	case "<quiet>":
		l.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if b, err := l.r.ReadByte(); err == nil {
			d.Fatalf("line %d: we spoke first: %q", s.Line, b)
		}
		return
	}
	got, err := l.r.ReadString('\n')
	if want := d.filler().Line(s.Text); !glob(want, got) {
		d.Fatalf("line %d: got  %q, %v\n\twant %q\n%s", s.Line, got, err, want, d.log)
	}
}

// expectEnd waits for our end of a leg to be closed with nothing more said.
func (d *dialogue) expectEnd(s dialoguetest.Step, l *leg) {
	rest, err := io.ReadAll(l.r)
	if nerr, ok := err.(net.Error); ok && nerr.Timeout() || len(rest) > 0 {
		d.Fatalf("line %d: not closed: %q, %v\n%s", s.Line, rest, err, d.log)
	}
	l.Close()
	l.closed = true
}

// leg is the socket a step is about. The provider's is accepted when first
// needed; one that is closed makes room for the next.
func (d *dialogue) leg(s dialoguetest.Step) *leg {
	who := s.Who | 0x20
	l := d.legs[who]
	if who == 'p' && (l == nil || l.closed) {
		select {
		case c := <-d.incoming:
			if d.head["provider-tls"] != "starttls" {
				c = tls.Server(c, testtls.ServerTLS())
			}
			l = &leg{Conn: c, r: bufio.NewReader(c)}
			d.legs[who] = l
		case <-time.After(patience):
			d.Fatalf("line %d: nothing connected to the provider\n%s", s.Line, d.log)
		}
	}
	return l
}

func (d *dialogue) filler() dialoguetest.Filler {
	return dialoguetest.Filler{Expand: d.expand, Port: d.port}
}
