package filter

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"authferry/proxy/dialoguetest"
	"authferry/tokens"
)

// smtpReference is a provider with its own reading of what reaches it. It counts
// the messages that it has accepted.
type smtpReference struct {
	t       *testing.T
	decide  decisions
	lenient bool // lone CR and LF are line ends, and so may end a message
	buf     string
	data    bool
	chunk   int
	last    bool
	half    string

	inMail               bool
	recipients, messages int
	most                 int // recipients of one message
}

var lenientEnd = regexp.MustCompile("(^|\r\n|\n|\r)\\.(\r\n|\n|\r)")

func (p *smtpReference) read(b []byte, say func(string)) {
	defer func() { // the rest of a reply comes by itself
		if rest := p.half; rest != "" {
			p.half = ""
			say(rest)
		}
	}()
	p.buf += string(b)
	for p.buf != "" {
		switch {
		case p.chunk > 0:
			n := min(p.chunk, len(p.buf))
			if p.chunk, p.buf = p.chunk-n, p.buf[n:]; p.chunk == 0 {
				p.chunkEnds(say)
			}
			continue
		case p.data:
			end := []int{strings.Index("\r\n"+p.buf, "\r\n.\r\n"), 0}
			if end[1] = end[0] + 3; p.lenient {
				end = lenientEnd.FindStringIndex(p.buf)
			}
			if end == nil || end[0] < 0 {
				return
			}
			p.buf, p.data = p.buf[end[1]:], false
			p.message(say)
			continue
		}
		line, rest, ok := lineOf(p.buf, p.lenient)
		if !ok {
			return
		}
		p.buf = rest
		p.obey(line, say)
	}
}

func (p *smtpReference) obey(line string, say func(string)) {
	words := strings.Fields(strings.ToUpper(line) + " x")
	yes := p.decide.next()%4 != 1
	switch words[0] {
	case "MAIL":
		if p.inMail || !yes {
			p.say("550 no", say)
			return
		}
		p.inMail, p.recipients = true, 0
	case "RCPT":
		if !p.inMail || !yes {
			p.say("550 no", say)
			return
		}
		p.recipients++
		p.most = max(p.most, p.recipients)
	case "DATA":
		if p.data = p.inMail && yes; p.data {
			p.say("354 go", say)
		} else {
			p.say("503 no", say)
		}
		return
	case "BDAT":
		p.chunk, _ = strconv.Atoi(words[1])
		if p.last = words[2%len(words)] == "LAST"; p.chunk == 0 {
			p.chunkEnds(say)
		}
		return
	case "RSET", "EHLO", "HELO":
		if !yes {
			p.say("501 no", say)
			return
		}
		p.inMail = false
	default:
		if !slices.Contains([]string{"NOOP", "QUIT", "VRFY", "EXPN", "HELP"}, words[0]) {
			p.t.Fatalf("the provider got %q", line)
		}
	}
	p.say("250-several\r\n250 ok", say)
}

func (p *smtpReference) chunkEnds(say func(string)) {
	switch {
	case !p.inMail:
		p.say("503 no", say)
	case p.last:
		p.message(say)
	default:
		p.say("250 chunk", say)
	}
}

func (p *smtpReference) message(say func(string)) {
	p.inMail = false
	if p.decide.next()%4 == 1 {
		p.say("554 no", say)
		return
	}
	p.messages++
	p.say("250 sent", say)
}

// say may delay half of a reply.
func (p *smtpReference) say(text string, say func(string)) {
	text = p.half + text + "\r\n"
	p.half = ""
	if !strings.HasPrefix(text, "354") && !strings.HasPrefix(text, "503") && p.decide.next()%8 == 2 {
		p.half, text = text[len(text)/2:], text[:len(text)/2]
	}
	say(text)
}

// FuzzSendLimit: no input of a client makes the provider accept more messages than
// the limit of the hour, or a message to more recipients than allowed.
func FuzzSendLimit(f *testing.F) {
	dialoguetest.Seed(f, "../testdata/dialogues", "smtp", 'C', func(said []byte) { f.Add(said, []byte{}, 3, false); f.Add(said, []byte{1, 0, 2}, 1, true) })
	mail := "MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\nx\r\n.\r\n"
	for _, s := range []string{
		mail + mail + mail,
		"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\nx\n.\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\ny\r\n.\n" + mail,
		"MAIL FROM:<a>\r\nDATA\r\nx\r.\rMAIL FROM:<a>\r\nDATA\r\n\r\n.\r" + mail,
		"MAIL FROM:<a>\r\nMAIL FROM:<a>\r\nRCPT TO:<1>\r\nRCPT TO:<2>\r\nMAIL FROM:<a>\r\nRCPT TO:<3>\r\nRCPT TO:<4>\r\nBDAT 4\r\nMAILBDAT 0 LAST\r\n" + mail + mail,
		"MAIL FROM:<a>\r\nBDAT 6\r\nDATA\r\nRSET\r\nBDAT 5\r\n12345EHLO x\r\nDATA\r\n" + mail,
		"MAIL FROM:<a>\nRCPT TO:<b>\nDATA\n.\nMAIL FROM:<b>\rDATA\r\n" + mail,
		"HELO x\r\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\nBDAT 6 LAST\r\nDATA\r\n" + mail,
	} {
		f.Add([]byte(s), []byte{}, 100, false)
		f.Add([]byte(s), []byte{0, 1, 0, 1, 2, 2, 0, 1}, 2, true)
		f.Add([]byte(s), []byte{0, 0, 1, 0, 0, 1}, 1000, true)
	}
	f.Fuzz(func(t *testing.T, said, decide []byte, size int, lenient bool) {
		p := &smtpReference{t: t, decide: decide, lenient: lenient}
		const messages, recipients = 2, 3
		r := newReadAlong("smtp", tokens.PasswordRules{MessagesPerHour: messages, Recipients: recipients}, p.read)
		r.hear(said, size%len(append(said, 0)))
		if p.messages > messages || p.most > recipients {
			t.Fatalf("%d messages, one to %d recipients, got through in %q", p.messages, p.most, r.sent.String())
		}
		for line := range strings.Lines(r.client.String()) {
			if len(line) < 4 || line[0] < '2' || line[0] > '5' {
				t.Fatalf("told %q", r.client.String())
			}
		}
	})
}

// TestDataEnd: a message is forwarded unchanged up to its end, in chunks of any
// size.
func TestDataEnd(t *testing.T) {
	for _, tt := range []struct{ said, want, rest string }{
		{".\r\nQUIT", ".\r\n", "QUIT"},
		{"a\r\n..\r\n.b\r\n\r\n.\r\nX", "a\r\n..\r\n.b\r\n\r\n.\r\n", "X"},
		{"a\n..\n.b\n\n.\nX", "a\n..\n.b\n\r\n.\r\n", "X"},
		{"a\r\n.\nX", "a\r\n.\r\n", "X"},
		{"a\n.\r\nX", "a\r\n.\r\n", "X"},
		{"a\r\r\n.\r\nX", "a\r\r\n.\r\n", "X"},
		{"a\rb\r.c\n\r\r\n\x00\xff\r\n.\r\nX", "a\rb\r.c\n\r\r\n\x00\xff\r\n.\r\n", "X"},
		{"a\n\n.\nX", "a\n\r\n.\r\n", "X"},
	} {
		for size := 1; size <= len(tt.said); size++ {
			e, out, rest, done := dataBegins, []byte(nil), "", false
			for _, chunk := range chunksOf([]byte(tt.said), size) {
				if done {
					rest += string(chunk)
					continue
				}
				var left []byte
				var ok bool
				if out, left, done, ok = e.pass(out, chunk); !ok {
					t.Fatalf("%q: refused", tt.said)
				}
				rest += string(left)
			}
			if string(out) != tt.want || rest != tt.rest {
				t.Errorf("%q in chunks of %d: %q, %q left", tt.said, size, out, rest)
			}
		}
	}
	for _, said := range []string{"a\r.\r\n", "a\r.\n", "a\r.\rb", "a\r\n.\rb", "a\n.\rb", ".\rb"} {
		e := dataBegins
		if out, _, _, ok := e.pass(nil, []byte(said)); ok {
			t.Errorf("%q is passed on as %q", said, out)
		}
	}
}

// TestLimitsOutliveAResetThatIsRefused: a provider that refuses an EHLO keeps the
// message under way, and so does the count.
func TestLimitsOutliveAResetThatIsRefused(t *testing.T) {
	for _, reset := range []string{"EHLO", "HELO", "R\u017fET"} {
		inMail, data := false, false
		var recipients, messages int
		var buf string
		read := func(b []byte, say func(string)) {
			buf += string(b)
			for line, rest, ok := strings.Cut(buf, "\r\n"); ok; line, rest, ok = strings.Cut(buf, "\r\n") {
				buf = rest
				switch {
				case data && line != ".":
				case data:
					data, inMail = false, false
					messages++
					say("250 sent\r\n")
				case strings.HasPrefix(line, "MAIL") && inMail:
					say("503 nested\r\n")
				case strings.HasPrefix(line, "MAIL"):
					inMail, recipients = true, 0
					say("250 ok\r\n")
				case strings.HasPrefix(line, "RCPT"):
					recipients++
					say("250 ok\r\n")
				case line == "DATA":
					data = true
					say("354 go\r\n")
				default:
					say("501 no\r\n")
				}
			}
		}
		r := newReadAlong("smtp", tokens.PasswordRules{MessagesPerHour: 1, Recipients: 2}, read)
		two := "MAIL FROM:<a>\r\nRCPT TO:<x>\r\nRCPT TO:<y>\r\n"
		r.hear([]byte(two+reset+"\r\n"+two+reset+"\r\n"+two+"DATA\r\nhi\r\n.\r\n"), 1000)
		if recipients > 2 || messages > 1 {
			t.Errorf("%q: %d messages, one to %d recipients; the client heard\n%s", reset, messages, recipients, r.client.String())
		}
	}
}

// TestNoPlaceAfterTheSession: a message that begins when the session is over does
// not keep a place in the hour. Clients send MAIL on a connection that the provider
// has just closed.
func TestNoPlaceAfterTheSession(t *testing.T) {
	r := newReadAlong("smtp", tokens.PasswordRules{MessagesPerHour: 1}, nil)
	r.provider = func([]byte, func(string)) {}
	f := r.filter.(*sendLimit)
	f.Close()
	r.hear([]byte("MAIL FROM:<a>\r\n"), 100)
	if place, _ := f.vault.BeginMessage(f.grant); place == nil {
		t.Error("the place is taken")
	}
}
