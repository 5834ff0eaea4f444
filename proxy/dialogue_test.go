package proxy

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The files in testdata/dialogues are conversations with both legs on one
// page; testdata/dialogues/README tells how to read them.

const (
	dialogueUser = "me@example.org"
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

type step struct {
	line int
	who  byte // C and P speak, c and p are spoken to, l is the log
	text string
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

// readDialogue splits a file into its set-up and its steps. A step without text
// after its colon is an empty line.
func readDialogue(t testing.TB, file string) (head map[string]string, steps []step) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head = map[string]string{}
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case strings.HasPrefix(line, "#") || line == "":
		case ok && len(name) == 1 && strings.Contains("CcPpl", name):
			steps = append(steps, step{i + 1, name[0], value})
		case ok && steps == nil:
			head[name] = value
		default:
			t.Fatalf("%s:%d: not a line of a dialogue: %q", file, i+1, line)
		}
	}
	return head, steps
}

func (d *dialogue) play(steps []step) {
	for rest := steps; len(rest) > 0; {
		s := rest[0]
		if s.who == 'l' {
			rest = rest[1:]
			continue
		}
		l := d.leg(s)
		l.SetDeadline(time.Now().Add(patience))
		if s.who == 'c' || s.who == 'p' {
			d.expect(s, l)
		} else if said, n := d.said(rest); n == 0 {
			d.act(s, l)
		} else if _, err := l.Write(said); err != nil {
			d.Fatalf("line %d: %v", s.line, err)
		} else {
			rest = rest[n-1:]
		}
		rest = rest[1:]
	}
}

// said is what one side says without a break: it goes out in one piece. n is
// the number of lines; 0 if the first is a verb.
func (d *dialogue) said(steps []step) (said []byte, n int) {
	for n < len(steps) && steps[n].who == steps[0].who && !verb.MatchString(steps[n].text) {
		said = append(said, d.line(steps[n].text)...)
		n++
	}
	return said, n
}

var (
	verb  = regexp.MustCompile(`^<(close|cut|tls|stall|quiet)>$`)
	macro = regexp.MustCompile(`<(b64|xoauth2|oauthbearer|bytes|hex) ?([^<>]*)>`)
)

// line is a line of a file as it goes over the wire.
func (d *dialogue) line(text string) string {
	if t, ok := strings.CutSuffix(text, "<lf>"); ok {
		return d.fill(t) + "\n"
	} else if t, ok := strings.CutSuffix(text, "<open>"); ok {
		return d.fill(t)
	}
	return d.fill(text) + "\r\n"
}

// fill puts in what a file cannot know or would be unreadable with.
func (d *dialogue) fill(text string) string {
	return macro.ReplaceAllStringFunc(d.expand.Replace(text), func(m string) string {
		parts := macro.FindStringSubmatch(m)
		arg := strings.NewReplacer(`\0`, "\x00", `\1`, "\x01").Replace(parts[2])
		switch parts[1] {
		case "bytes":
			n, _ := strconv.Atoi(arg)
			return strings.Repeat("x", n)
		case "hex":
			b, _ := hex.DecodeString(strings.ReplaceAll(arg, " ", ""))
			return string(b)
		case "xoauth2":
			arg = "user=" + dialogueUser + "\x01auth=Bearer " + arg + "\x01\x01"
		case "oauthbearer":
			arg = fmt.Sprintf("n,a=%s,\x01host=127.0.0.1\x01port=%d\x01auth=Bearer %s\x01\x01", dialogueUser, d.port, arg)
		}
		return base64.StdEncoding.EncodeToString([]byte(arg))
	})
}

// act does what a verb of a speaker says.
func (d *dialogue) act(s step, l *leg) {
	switch s.text {
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
		t := tls.Client(l.Conn, clientTLS())
		if s.who == 'P' {
			t = tls.Server(l.Conn, serverTLS())
		}
		if err := t.Handshake(); err != nil {
			d.Fatalf("line %d: %v", s.line, err)
		}
		l.Conn, l.r = t, bufio.NewReader(t)
	}
}

// expect compares what we say with a line of the file, in which * stands for
// anything.
func (d *dialogue) expect(s step, l *leg) {
	switch s.text {
	case "<close>":
		d.expectEnd(s, l)
		return
	case "<quiet>":
		l.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if b, err := l.r.ReadByte(); err == nil {
			d.Fatalf("line %d: we spoke first: %q", s.line, b)
		}
		return
	}
	got, err := l.r.ReadString('\n')
	if want := d.line(s.text); !glob(want, got) {
		d.Fatalf("line %d: got  %q, %v\n\twant %q\n%s", s.line, got, err, want, d.log)
	}
}

// expectEnd waits for our end of a leg to be closed with nothing more said.
func (d *dialogue) expectEnd(s step, l *leg) {
	rest, err := io.ReadAll(l.r)
	if nerr, ok := err.(net.Error); ok && nerr.Timeout() || len(rest) > 0 {
		d.Fatalf("line %d: not closed: %q, %v\n%s", s.line, rest, err, d.log)
	}
	l.Close()
	l.closed = true
}

// leg is the socket a step is about. The provider's is accepted when first
// needed; one that is closed makes room for the next.
func (d *dialogue) leg(s step) *leg {
	who := s.who | 0x20
	l := d.legs[who]
	if who == 'p' && (l == nil || l.closed) {
		select {
		case c := <-d.incoming:
			if d.head["provider-tls"] != "starttls" {
				c = tls.Server(c, serverTLS())
			}
			l = &leg{Conn: c, r: bufio.NewReader(c)}
			d.legs[who] = l
		case <-time.After(patience):
			d.Fatalf("line %d: nobody came to the provider\n%s", s.line, d.log)
		}
	}
	return l
}
