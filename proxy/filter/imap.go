package filter

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"authferry/proxy/imapsyntax"
)

// readOnlyIMAP lets a client read a mailbox and change nothing in it.
//
// SELECT is forwarded as EXAMINE, with which the provider itself keeps \Seen and
// \Recent as they are. Of all other commands only those are forwarded that are
// known to change nothing. The rest is refused here, COMPRESS too: what it
// compresses could not be read. A tagged NO may overtake the answers to earlier
// commands (RFC 9051 §5.5), so answers need not be put in order.
//
// A literal is announced to the provider in the form that waits for its consent,
// {n}, even if the client's does not, {n+}: providers differ in whether they read
// the literal of a command that they refuse, and one that does not takes the
// literal for commands.
type readOnlyIMAP struct {
	*session
	state   imapState
	tag     string // of the command under way
	waits   bool   // the client waits for a continuation request before its literal
	literal int    // bytes of it to come
	refusal string // for the end of a command that is not forwarded; empty: it has been answered

	// Guarded by the sender.
	tags         map[string]struct{} // of the commands at the provider
	continuation continuation
	continues    string // the tag of the command that needs it
	idling       bool   // ... to idle, and not for a literal
	silent       bool   // the client must not see the continuation request
	pending      string // answers of the filter, for when a response ends
	framing      imapFraming
}

type imapState int

const (
	imapCommand        imapState = iota // the first line of a command
	imapAfterLiteral                    // a line of a command after a literal
	imapAwaiting                        // the provider has not consented to a literal
	imapLiteral                         // a literal that is forwarded
	imapIdling                          // the provider waits for DONE
	imapRefused                         // a line that is not forwarded
	imapLiteralRefused                  // a literal that is not forwarded
)

// readOnlyCommands change nothing in a mailbox that is opened by EXAMINE, as
// SELECT is. Those of UID are readOnlyByUID.
var (
	readOnlyCommands = []string{
		"CAPABILITY", "NOOP", "LOGOUT", "ID", "ENABLE", "NAMESPACE", "IDLE", "NOTIFY", // any state
		"SELECT", "EXAMINE", "LIST", "LSUB", "XLIST", "STATUS",
		"GETQUOTA", "GETQUOTAROOT", "GETACL", "LISTRIGHTS", "MYRIGHTS", "GETMETADATA",
		"CHECK", "CLOSE", "UNSELECT", "FETCH", "SEARCH", "ESEARCH", "SORT", "THREAD", "UID",
	}
	readOnlyByUID = []string{"FETCH", "SEARCH", "SORT", "THREAD"}
)

func newReadOnlyIMAP(s *session) *readOnlyIMAP {
	return &readOnlyIMAP{session: s, tags: map[string]struct{}{}}
}

// FromClient is part of [relay.Filter].
func (f *readOnlyIMAP) FromClient(b []byte) error {
	for len(b) > 0 {
		var err error
		switch f.state {
		case imapAwaiting:
			err = f.awaitContinuation()
		case imapLiteral, imapLiteralRefused:
			n := min(f.literal, len(b))
			if f.state == imapLiteral {
				f.out = append(f.out, b[:n]...)
			}
			f.literal, b = f.literal-n, b[n:]
			f.afterLiteral()
		default:
			line, long, rest, ok := f.readLine(b)
			if b = rest; ok {
				err = f.takeLine(line, long)
			}
		}
		if err != nil {
			return err
		}
	}
	return f.flush()
}

// afterLiteral goes on to the line after a literal, once that is complete.
func (f *readOnlyIMAP) afterLiteral() {
	switch {
	case f.literal > 0:
	case f.state == imapLiteral:
		f.state = imapAfterLiteral
	default:
		f.state = imapRefused
	}
}

func (f *readOnlyIMAP) takeLine(line string, long bool) error {
	switch f.state {
	case imapAfterLiteral:
		return f.restOfCommand(line, long)
	case imapRefused:
		return f.refuse(line)
	case imapIdling:
		return f.idle(line, long)
	}
	return f.command(line, long)
}

// restOfCommand takes the line after a literal. If the provider has refused the
// command meanwhile, only its line end is forwarded.
func (f *readOnlyIMAP) restOfCommand(line string, long bool) error {
	l, ok := readIMAPLine(line)
	if !ok || long || line != "" && line[0] != ' ' && line[0] != ')' {
		f.answer("* BYE the rest of the command cannot be read")
		return f.sender.Abort(errHalfACommand)
	}
	if f.unanswered() {
		f.forwardLine(line, l)
		return nil
	}
	f.forward("")
	f.refusal = ""
	return f.refuse(line)
}

func (f *readOnlyIMAP) unanswered() bool {
	f.sender.Lock()
	defer f.sender.Unlock()
	_, ok := f.tags[f.tag]
	return ok
}

// command takes the first line of a command.
func (f *readOnlyIMAP) command(line string, long bool) error {
	if line == "" {
		return nil // some clients send one after a literal
	}
	f.refusal = ""
	tag, rest, _ := strings.Cut(line, " ")
	verb, args, _ := strings.Cut(rest, " ")
	if !imapsyntax.ValidTag(tag) {
		f.refusal = "* BAD expected a tag and a command"
		return f.refuse(line)
	}
	f.tag = tag
	verb = strings.ToUpper(verb)
	l, ok := readIMAPLine(line)
	switch {
	case long:
		f.refusal = tag + " BAD command too long"
	case !ok:
		f.refusal = tag + " BAD command cannot be read"
	case !readOnly(verb, args):
		f.refusal = f.reason(verb)
	case verb == "IDLE" && args != "":
		// A provider that reads no arguments here would answer "+ idling" to the
		// size of a literal. That is no consent: from then on it reads lines.
		f.refusal = tag + " BAD IDLE takes no arguments"
	default:
		if err := f.addTag(tag); err != nil {
			return err
		}
	}
	if f.refusal != "" {
		return f.refuse(line)
	}
	switch verb {
	case "SELECT":
		f.forwardLine(tag+" EXAMINE"+line[len(tag+" SELECT"):], l)
	case "IDLE":
		f.state = imapIdling
		f.requestContinuation(true, true)
		f.forward(line)
	default:
		f.forwardLine(line, l)
	}
	return nil
}

func readOnly(verb, args string) bool {
	if verb == "UID" {
		verb, _, _ = strings.Cut(args, " ")
		return slices.Contains(readOnlyByUID, strings.ToUpper(verb))
	}
	return slices.Contains(readOnlyCommands, verb)
}

// reason returns the answer to a command that is not allowed: RFC 5530 §3 and, for
// what the state alone rules out, RFC 9051 §6.2.
func (f *readOnlyIMAP) reason(verb string) string {
	switch verb {
	case "LOGIN", "AUTHENTICATE", "STARTTLS":
		return f.tag + " BAD you are logged in already"
	case "COMPRESS":
		return f.tag + " NO [CANNOT] " + f.password + " is read-only, and compression would hide what is done with it"
	case "":
		return f.tag + " BAD expected a command"
	}
	return f.tag + " NO [NOPERM] " + f.password + " is read-only: nothing has been changed"
}

// addTag notes a command that is about to be forwarded. With a tag that is in use,
// it would be unclear which command the provider answers.
func (f *readOnlyIMAP) addTag(tag string) error {
	f.sender.Lock()
	defer f.sender.Unlock()
	if _, ok := f.tags[tag]; ok {
		f.refusal = tag + " BAD a command with this tag is under way"
		return nil
	}
	if len(f.tags) == maxAwaited {
		return f.sender.Abort(errTooManyCommands)
	}
	f.tags[tag] = struct{}{}
	return nil
}

// forwardLine forwards a line of a command, and asks for consent to its literal.
func (f *readOnlyIMAP) forwardLine(line string, l imapLine) {
	f.state = imapCommand
	if l.literal {
		if !l.waits {
			line = strings.TrimSuffix(line, "+}") + "}"
		}
		f.state, f.literal, f.waits = imapAwaiting, l.size, l.waits
		f.requestContinuation(l.waits, false)
	}
	f.forward(line)
}

// refuse drops a line of a command. The answer is due where the command ends: at
// a literal that waits for a continuation request, which does not come, or after
// literals that do not wait.
func (f *readOnlyIMAP) refuse(line string) error {
	if size, waits, ok := literalAtEnd(line); ok && !waits {
		f.state, f.literal = imapLiteralRefused, size
		f.afterLiteral()
		return nil
	}
	f.state = imapCommand
	answer := f.refusal
	f.refusal = ""
	if answer == "" {
		return nil
	}
	return f.answer(answer)
}

// answer sends a line of the filter once no response is under way.
func (f *readOnlyIMAP) answer(line string) error {
	f.sender.Lock()
	defer f.sender.Unlock()
	if f.framing.between() {
		return f.sender.Say(line + "\r\n")
	}
	if len(f.pending) > maxPending {
		return f.sender.Abort(errTooManyCommands)
	}
	f.pending += line + "\r\n"
	return nil
}

// requestContinuation notes, before the provider can answer, that its consent is
// needed: to a literal, or to DONE.
func (f *readOnlyIMAP) requestContinuation(waits, idling bool) {
	f.sender.Lock()
	defer f.sender.Unlock()
	f.continues, f.idling, f.silent, f.continuation = f.tag, idling, !waits, requested
	if _, ok := f.tags[f.tag]; !ok {
		f.continuation = refused // it has answered before the end of the command
	}
}

// continued waits for the provider to consent or refuse.
func (f *readOnlyIMAP) continued() (c continuation, err error) {
	err = f.await(func() bool { c = f.continuation; return c != requested })
	return c, err
}

// awaitContinuation waits for the provider's consent to a literal. If it refuses,
// it has answered the command. A client that does not wait sends the rest of the
// command all the same, which is dropped.
func (f *readOnlyIMAP) awaitContinuation() error {
	c, err := f.continued()
	switch {
	case err != nil:
		return err
	case c == granted:
		f.state = imapLiteral
	case f.waits:
		f.state = imapCommand
		return nil
	default:
		f.state, f.refusal = imapLiteralRefused, ""
	}
	f.afterLiteral()
	return nil
}

// idle takes a line while the provider is idling, which DONE alone ends (RFC
// 2177). A provider that refused to idle, or has ended it, expects a command.
func (f *readOnlyIMAP) idle(line string, long bool) error {
	c, err := f.continued()
	done := strings.EqualFold(line, "DONE")
	switch {
	case err != nil:
		return err
	case c == granted && done:
		f.state = imapCommand
		f.forward("DONE")
	case c == granted:
		return f.answer("* BAD expected DONE")
	case done: // sent before the client saw that idling has ended
		f.state = imapCommand
	default:
		f.state = imapCommand
		return f.command(line, long)
	}
	return nil
}

// FromProvider is part of [relay.Filter].
func (f *readOnlyIMAP) FromProvider(b []byte) ([]byte, error) {
	w := rewrite{b: b}
	i := &f.framing
	for at := 0; at < len(b); {
		if i.literal > 0 {
			n := min(i.literal, len(b)-at)
			i.literal -= n
			at += n
			continue
		}
		if i.between() {
			w.insert(at, f.pending)
			f.pending = ""
			i.cutting = b[at] == '+' && f.continuation == requested && f.silent
		}
		n, ended := i.line.add(b[at:])
		if i.cutting {
			w.cut(at, at+n)
		}
		at += n
		if !ended {
			continue
		}
		if err := f.providerLine(); err != nil {
			return w.result(), err
		}
	}
	if i.between() {
		w.insert(len(b), f.pending)
		f.pending = ""
	}
	return w.result(), nil
}

// providerLine takes a complete line of the provider.
func (f *readOnlyIMAP) providerLine() error {
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
		return f.continuationRequest()
	}
	word, _, _ := bytes.Cut(i.line.head, []byte(" "))
	tag := string(word)
	if _, ok := f.tags[tag]; !ok {
		return nil
	}
	delete(f.tags, tag)
	if tag == f.continues && f.mayContinue() { // refused, or idling has ended
		f.setContinuation(refused)
	}
	return nil
}

// continuationRequest takes a continuation request. One that is not expected means
// that the provider sees a literal where there is none.
func (f *readOnlyIMAP) continuationRequest() error {
	if f.mayContinue() {
		f.setContinuation(granted)
		return nil
	}
	f.sender.End("provider", errUnexpectedMore)
	return errUnexpectedMore
}

// mayContinue reports whether the provider may still consent. Idling may bring
// several continuation requests.
func (f *readOnlyIMAP) mayContinue() bool {
	return f.continuation == requested || f.continuation == granted && f.idling
}

func (f *readOnlyIMAP) setContinuation(c continuation) {
	f.continuation = c
	f.changed.Broadcast()
}

// imapFraming follows the provider's responses: where one ends, a line of the
// filter can be put in.
type imapFraming struct {
	line    partialLine
	more    bool // the line goes on with a response that has had a literal
	literal int  // bytes of one that are still to come
	cutting bool // the line is a continuation request that the client must not see
}

// between reports whether no response is under way.
func (i *imapFraming) between() bool { return i.line.size == 0 && !i.more && i.literal == 0 }

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

// isStatusLine reports whether the text of a line is for people: that of all but
// untagged data.
func isStatusLine(head []byte) bool {
	data, untagged := bytes.CutPrefix(head, []byte("* "))
	if !untagged {
		return true
	}
	word, _, _ := strings.Cut(string(data), " ")
	return imapsyntax.ParseStatus(word).Kind != ""
}

// imapLine is the literal that a line of a command ends with.
type imapLine struct {
	literal bool // there is one
	size    int
	waits   bool // for a continuation request
}

// readIMAPLine reports whether a line can be read in one way only: its quoted
// strings are closed, and a brace outside of them announces a literal at its end,
// of a size that 32 bits can hold. RFC 9051 §9 has no braces elsewhere.
func readIMAPLine(line string) (l imapLine, ok bool) {
	if ambiguous(line) {
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
