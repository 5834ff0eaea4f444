package filter

import (
	"bytes"
	"strings"
)

const (
	// maxCommandLine bounds a line after login. RFC 7162 §4 has servers take 8192
	// octets; Thunderbird is known for long ones.
	maxCommandLine = 64 << 10
	// longEnds is how much is kept of either end of a longer one.
	longEnds = 128
)

// commandLine collects one line of a client.
type commandLine struct {
	text []byte
	long bool // beyond maxCommandLine: text is its beginning and its end
}

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

// string returns the line without its end, CRLF or a bare LF.
func (l *commandLine) string() string { return strings.TrimSuffix(string(l.text), "\r") }

func (l *commandLine) clear() {
	l.long = false
	if l.text = l.text[:0]; cap(l.text) > 4096 {
		l.text = nil
	}
}

// ambiguous reports whether a line has bytes that one server may take for the end
// of a line and another for part of it.
func ambiguous(line string) bool { return strings.ContainsAny(line, "\r\n\x00") }

// partialLine is a line of the provider that has not ended: its beginning and its
// end, which is all that framing needs.
type partialLine struct {
	head, tail []byte
	size       int // line end included
}

// headSize has room for a tag and what follows it, tailSize for a literal's size.
const headSize, tailSize = 80, 24

// add adds bytes up to and with the line end, and returns how many.
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

// rewrite copies b with pieces cut out and put in, if there are any.
type rewrite struct {
	b       []byte
	from    int // up to where b has been copied
	out     []byte
	changed bool
}

func (r *rewrite) insert(at int, text string) {
	if text == "" {
		return
	}
	r.out = append(append(r.out, r.b[r.from:at]...), text...)
	r.from, r.changed = at, true
}

func (r *rewrite) cut(at, to int) {
	r.out = append(r.out, r.b[r.from:at]...)
	r.from, r.changed = to, true
}

func (r *rewrite) result() []byte {
	if !r.changed {
		return r.b
	}
	return append(r.out, r.b[r.from:]...)
}
