package filter

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"authferry/proxy/dialoguetest"
	"authferry/tokens"
)

var readOnlyRules = tokens.PasswordRules{ReadOnly: true}

// imapReference is a provider with its own reading of what reaches it: it decides
// on each literal and each IDLE at random, and takes bytes that it has not asked for
// as commands.
type imapReference struct {
	t       *testing.T
	decide  decisions
	lenient bool   // lone CR and LF are line ends
	buf     string // not read yet
	tag     string // of a command under way
	literal int
	idling  bool
	half    string // of a response, for later
}

// changing matches what must not reach a provider, by its own list.
func changing(line string) bool {
	words := strings.Fields(strings.ToUpper(line))
	if len(words) < 2 {
		return false
	}
	verb := words[1]
	if verb == "UID" && len(words) > 2 {
		verb = words[2]
		return !slices.Contains([]string{"FETCH", "SEARCH", "SORT", "THREAD"}, verb)
	}
	return !slices.Contains(strings.Fields("CAPABILITY NOOP LOGOUT ID ENABLE NAMESPACE IDLE NOTIFY EXAMINE LIST LSUB XLIST STATUS "+
		"GETQUOTA GETQUOTAROOT GETACL LISTRIGHTS MYRIGHTS GETMETADATA CHECK CLOSE UNSELECT FETCH SEARCH ESEARCH SORT THREAD UID"), verb)
}

func (p *imapReference) read(b []byte, say func(string)) {
	p.buf += string(b)
	for p.buf != "" {
		if p.literal > 0 {
			n := min(p.literal, len(p.buf))
			p.literal, p.buf = p.literal-n, p.buf[n:]
			continue
		}
		line, rest, ok := lineOf(p.buf, p.lenient)
		if !ok {
			break
		}
		p.buf = rest
		p.obey(line, say)
	}
}

func (p *imapReference) obey(line string, say func(string)) {
	switch {
	case p.idling:
		if line != "DONE" {
			p.t.Fatalf("while idling the provider got %q", line)
		}
		p.idling = false
		p.say(p.tag+" OK", say)
		p.tag = ""
		return
	case p.tag == "":
		if line == "" { // the rest of a command it has refused
			return
		}
		if changing(line) {
			p.t.Fatalf("the provider got %q", line)
		}
		p.tag, _, _ = strings.Cut(line, " ")
	}
	d := p.decide.next()
	verb := strings.Fields(strings.ToUpper(line) + " x x")[1]
	open := strings.LastIndexByte(line, '{')
	switch {
	case strings.HasSuffix(line, "+}"):
		p.t.Fatalf("the provider got a literal that it was not asked about: %q", line)
	case d%4 == 3 && !strings.HasSuffix(line, "}"): // an answer in two pieces
		p.say(p.tag+" NO", say)
		p.half = "* 1 FETCH (BODY[] {4}\r\n\r\n* X {4}\r\nNO\r\n)\r\n"
		say(p.half[:int(d/4)%len(p.half)])
		p.half = p.half[int(d/4)%len(p.half):]
	case verb == "IDLE" && d%3 == 0: // whatever stands behind it, as Dovecot does
		p.say("+ idling", say)
		p.idling = true
		return
	case strings.HasSuffix(line, "}") && open >= 0 && d%3 == 0:
		p.say("+ go on", say)
		p.literal, _ = strconv.Atoi(line[open+1 : len(line)-1])
		return
	case d%3 == 1:
		p.say(p.tag+" BAD text for people {7}", say)
	default:
		p.say("* OK still {9}\r\n"+p.tag+" OK", say)
	}
	p.tag = ""
}

// say sends whole lines, after the rest of the response before.
func (p *imapReference) say(text string, say func(string)) {
	say(p.half)
	p.half = ""
	say(text + "\r\n")
}

// FuzzReadOnlyIMAP: no input of a client makes a changing command reach the
// provider, and the client receives whole responses.
func FuzzReadOnlyIMAP(f *testing.F) {
	dialoguetest.Seed(f, "../testdata/dialogues", "imap", 'C', func(said []byte) { f.Add(said, []byte{}, 3, false); f.Add(said, []byte{1, 0, 7, 2, 30, 0}, 1, true) })
	for _, s := range []string{
		"a SEARCH TEXT {20+}\r\nb STORE 1 FLAGS (X)\r\n\r\nc NOOP\r\n",
		"a IDLE {24}\r\nDONE\r\nb DELETE Archive\r\n\r\nc NOOP\r\n",
		"a NOOP {20}\r\nb STORE 1 FLAGS (X)\r\nc IDLE\r\nd STORE 1 X\r\nDONE\r\n",
		"a SEARCH TEXT \"{3+}\r\nb NOOP\rc EXPUNGE\nd UID EXPUNGE 1\n",
		"a SELECT {3}\r\nabc (X {2+}\r\nab)\r\na NOOP\r\na NOOP\r\na SEARCH {9}\r\na STORE 1 FLAGS X\r\n",
	} {
		f.Add([]byte(s), []byte{0, 1, 0, 2, 0}, 100, false)
		f.Add([]byte(s), []byte{1, 2, 1, 255}, 2, true)
	}
	f.Fuzz(func(t *testing.T, said, decide []byte, size int, lenient bool) {
		p := &imapReference{t: t, decide: decide, lenient: lenient}
		r := newReadAlong("imap", readOnlyRules, p.read)
		r.hear(said, size%len(append(said, 0)))
		p.say("* OK end", func(s string) { r.tell([]byte(s)) })
		if r.broken != nil {
			return
		}
		wholeResponses(t, r.client.String())
	})
}

// wholeResponses reads responses as a client does.
func wholeResponses(t *testing.T, told string) {
	for rest := told; rest != ""; {
		line, behind, ok := strings.Cut(rest, "\r\n")
		if !ok {
			t.Fatalf("half a line: %q", rest)
		}
		if strings.HasPrefix(line, "* 1 FETCH") {
			const whole = "* 1 FETCH (BODY[] {4}\r\n\r\n* X {4}\r\nNO\r\n)\r\n"
			if !strings.HasPrefix(rest, whole) {
				t.Fatalf("broken into: %q", rest[:min(len(rest), 80)])
			}
			behind = rest[len(whole):]
		} else if strings.Contains(line, "FETCH") || line == "" {
			t.Fatalf("broken into: %q", rest[:min(len(rest), 80)])
		}
		rest = behind
	}
}

// TestReadOnlyIsExact: allowed commands other than SELECT are forwarded unchanged,
// in chunks of any size.
func TestReadOnlyIsExact(t *testing.T) {
	const said = "1 CAPABILITY\r\n2 ID (\"name\" \"a {3}\" \"x\" \"\\\"{2+}\")\r\n3 LIST \"\" {1}\r\n*\r\n" +
		"4 SELECT \"Entw\xc3\xbcrfe\" (CONDSTORE)\r\n5 IDLE\r\nDONE\r\n6 UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS ({7}\r\nSUBJECT)])\r\n" +
		"7 uid search charset utf-8 text {4}\r\n\xff\x00\r\n or subject {0}\r\n\r\n8 GETQUOTAROOT INBOX\r\n9 Select {5}\r\nINBOX\r\n10 LOGOUT\r\n"
	want := strings.NewReplacer("4 SELECT", "4 EXAMINE", "9 Select", "9 EXAMINE").Replace(said)
	for size := 1; size < len(said); size++ {
		r := newReadAlong("imap", readOnlyRules, (&imapReference{t: t}).read)
		if r.hear([]byte(said), size); r.broken != nil || r.sent.String() != want {
			t.Fatalf("in chunks of %d, %v: %q", size, r.broken, r.sent.String())
		}
	}
}

// FuzzReadOnlyPOP3: every line of the client is answered in order, and none that
// changes anything reaches the provider.
func FuzzReadOnlyPOP3(f *testing.F) {
	dialoguetest.Seed(f, "../testdata/dialogues", "pop3", 'C', func(said []byte) { f.Add(said, 3, false); f.Add(said, 1, true) })
	f.Add([]byte("NOOP\rDELE 1\r\nNOOP\nDELE 1\nRETR 1\r\nDELE 1\r\nLIST\r\nLIST 1\r\nXTND XMIT\r\nQUIT\r\n"), 7, true)
	f.Fuzz(func(t *testing.T, said []byte, size int, lenient bool) {
		replies, buf, later := 0, "", ""
		r := newReadAlong("pop3", readOnlyRules, func(b []byte, say func(string)) {
			buf += string(b)
			for {
				line, rest, ok := lineOf(buf, lenient)
				if !ok {
					return
				}
				buf = rest
				words := strings.Fields(strings.ToUpper(line))
				if !slices.Contains([]string{"STAT", "LIST", "UIDL", "RETR", "TOP", "NOOP", "RSET", "LAST", "QUIT", "CAPA", "UTF8", "LANG"}, words[0]) {
					t.Fatalf("the provider got %q", line)
				}
				replies++
				text := "+OK " + strconv.Itoa(replies) + "\r\n"
				if slices.Contains([]string{"RETR", "TOP", "CAPA"}, words[0]) || len(words) == 1 && slices.Contains([]string{"LIST", "UIDL", "LANG"}, words[0]) {
					text += "..\r\n.x\r\n-ERR\r\n.\r\n"
				}
				say(later + text[:len(text)/2])
				later = text[len(text)/2:]
			}
		})
		r.hear(said, size%len(append(said, 0)))
		r.tell([]byte(later))
		var want strings.Builder
		n := 0
		for line := range strings.Lines(string(said)) {
			words := strings.Fields(strings.ToUpper(line))
			cut, ended := strings.CutSuffix(line, "\n")
			switch {
			case !ended:
			case len(cut) > maxCommandLine || len(words) == 0 || strings.ContainsAny(strings.TrimSuffix(cut, "\r"), "\r\x00") || !slices.Contains(readOnlyPOP3Commands, words[0]):
				want.WriteString("-ERR\r\n")
			default:
				n++
				want.WriteString("+OK " + strconv.Itoa(n) + "\r\n")
				if slices.Contains([]string{"RETR", "TOP", "CAPA"}, words[0]) || len(words) == 1 && slices.Contains([]string{"LIST", "UIDL", "LANG"}, words[0]) {
					want.WriteString("..\r\n.x\r\n-ERR\r\n.\r\n")
				}
			}
		}
		var got strings.Builder
		for line := range strings.Lines(r.client.String()) {
			if strings.HasPrefix(line, "-ERR") {
				line = "-ERR\r\n"
			}
			got.WriteString(line)
		}
		if r.broken == nil && got.String() != want.String() {
			t.Fatalf("told %q\nwant %q", got.String(), want.String())
		}
	})
}

// TestIdleIsNoLiteral: "+ idling" is no consent to the literal of an IDLE: the
// provider reads lines from then on, and would take the literal for commands.
func TestIdleIsNoLiteral(t *testing.T) {
	hidden := "DONE\r\nb DELETE Archive\r\n"
	for _, size := range []string{"{24}", "{24+}"} {
		idle := false
		var buf string
		read := func(b []byte, say func(string)) {
			buf += string(b)
			for line, rest, ok := strings.Cut(buf, "\r\n"); ok; line, rest, ok = strings.Cut(buf, "\r\n") {
				buf = rest
				switch words := strings.Fields(line + " x x"); {
				case idle:
					idle = false
					say("a OK idle completed\r\n")
				case words[1] == "IDLE":
					idle = true
					say("+ idling\r\n")
				case words[1] == "DELETE":
					t.Errorf("IDLE %s: the provider got %q", size, line)
				default:
					say(words[0] + " OK done\r\n")
				}
			}
		}
		r := newReadAlong("imap", readOnlyRules, read)
		r.hear([]byte("a IDLE "+size+"\r\n"+hidden+"\r\n"), 1000)
		if !strings.Contains(r.client.String(), "a BAD") {
			t.Errorf("IDLE %s: the client heard %q", size, r.client.String())
		}
	}
}
