package filter

import (
	"bytes"
	"strconv"
	"strings"

	"authferry/proxy/imapsyntax"
)

// imapFraming follows the provider's responses: where one is over, a line of
// ours can come in.
type imapFraming struct {
	line    partialLine
	more    bool // the line goes on with a response that has had a literal
	literal int  // bytes of one that are still to come
	cutting bool // the line is a consent that the client did not ask for
}

// between tells whether no response is under way.
func (i *imapFraming) between() bool { return i.line.size == 0 && !i.more && i.literal == 0 }

func (f *readOnlyIMAP) tellIMAP(b []byte) ([]byte, error) {
	s := splice{b: b}
	i := &f.framing
	for at := 0; at < len(b); {
		if i.literal > 0 {
			n := min(i.literal, len(b)-at)
			i.literal -= n
			at += n
			continue
		}
		if i.between() {
			s.insert(at, f.pending)
			f.pending = ""
			i.cutting = b[at] == '+' && f.verdict == undecided && f.silent
		}
		n, ended := i.line.add(b[at:])
		if i.cutting {
			s.cut(at, at+n)
		}
		at += n
		if !ended {
			continue
		}
		if err := f.answered(); err != nil {
			return s.result(), err
		}
	}
	if i.between() {
		s.insert(len(b), f.pending)
		f.pending = ""
	}
	return s.result(), nil
}

// answered takes a complete line of the provider.
func (f *readOnlyIMAP) answered() error {
	i := &f.framing
	defer i.line.reset()
	if size, ok := i.announced(); ok {
		i.more, i.literal = true, size
		return nil
	}
	if i.more {
		i.more = false
		return nil
	}
	i.cutting = false
	if i.line.head[0] == '+' {
		return f.consented()
	}
	word, _, _ := bytes.Cut(i.line.head, []byte(" "))
	tag := string(word)
	if _, ok := f.tags[tag]; !ok {
		return nil
	}
	delete(f.tags, tag)
	if tag == f.asked && (f.verdict == undecided || f.verdict == granted && f.idling) {
		f.decide(denied) // or idling has ended
	}
	return nil
}

// announced finds the size of the literal that the line ends with. Text for
// people, which may look like one, has none: RFC 9051 §9, resp-text.
func (i *imapFraming) announced() (size int, ok bool) {
	if !i.more && isStatusLine(i.line.head) {
		return 0, false
	}
	tail := bytes.TrimRight(i.line.tail, "\r\n")
	open := bytes.LastIndexByte(tail, '{')
	if open < 0 || tail[len(tail)-1] != '}' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(tail[open+1:len(tail)-1]), 10, 62)
	return int(n), err == nil
}

// isStatusLine tells a line whose text is for people: all but untagged data.
func isStatusLine(head []byte) bool {
	data, untagged := bytes.CutPrefix(head, []byte("* "))
	if !untagged {
		return true
	}
	word, _, _ := strings.Cut(string(data), " ")
	return imapsyntax.ParseStatus(word).Kind != ""
}

// answer says a line of ours once no response is under way.
func (f *readOnlyIMAP) answer(line string) error {
	f.to.Lock()
	defer f.to.Unlock()
	if f.framing.between() {
		return f.to.Say(line + "\r\n")
	}
	if len(f.pending) > mostPending {
		return f.to.Abort(errTooMuchAtOnce)
	}
	f.pending += line + "\r\n"
	return nil
}

// imapLine is what matters of a line of a command.
type imapLine struct {
	literal bool // it ends with one
	size    int
	waits   bool // for a go-ahead
}

// readIMAPLine tells whether a line cannot be misunderstood: its quoted strings
// are closed, and a brace outside of them announces a literal at its end, of a
// size that 32 bits can hold. RFC 9051 §9 has no braces elsewhere.
func readIMAPLine(line string) (l imapLine, ok bool) {
	if misread(line) {
		return l, false
	}
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && c == '{':
			l.size, l.waits, l.literal = literalAtEnd(line[i:])
			return l, l.literal && strings.IndexByte(line[i:], '}') == len(line)-i-1
		}
	}
	return l, !quoted
}

// literalAtEnd finds the literal that a line ends with, wherever it begins.
func literalAtEnd(line string) (size int, waits, ok bool) {
	open := strings.LastIndexByte(line, '{')
	if open < 0 || !strings.HasSuffix(line, "}") {
		return 0, false, false
	}
	digits, plus := strings.CutSuffix(line[open+1:len(line)-1], "+")
	n, err := strconv.ParseUint(digits, 10, 31)
	return int(n), !plus, err == nil
}
