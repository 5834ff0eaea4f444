package filter

import (
	"errors"
	"slices"
	"strings"

	"authferry/proxy/imapsyntax"
)

// readOnlyIMAP lets a client look at a mailbox and change nothing in it. This
// file is the client's side of it, readonly_imap_answers.go the provider's, and
// readonly_imap_consent.go where they meet.
//
// SELECT goes on as EXAMINE, with which the provider itself keeps \Seen and
// \Recent as they are; of all other commands only those go on that are known to
// change nothing. The rest is refused here, COMPRESS too: what it compresses
// could not be read. A tagged NO may overtake the answers to earlier commands
// (RFC 9051 §5.5), so that nothing needs to be put in order.
//
// A literal is announced to the provider in the form that waits for its
// consent, {n}, even if the client's does not, {n+}: whether a provider reads
// the bytes of a literal in a command that it dislikes is a matter of taste,
// and if it does not, it takes them for commands.
type readOnlyIMAP struct {
	*narrowing
	state   imapState
	tag     string // of the command under way
	waits   bool   // the client waits for a go-ahead for its literal
	literal int    // bytes to come
	refusal string // for the end of a command that does not go on; empty: it has been answered

	// Guarded by the sender.
	tags    map[string]struct{} // of the commands at the provider
	asked   string              // the tag of the command that needs the provider's consent
	idling  bool                // ... to idle, and not to a literal
	silent  bool                // the client is not to see the consent
	verdict verdict             // of the provider
	pending string              // answers of ours, for when a response ends
	framing imapFraming
}

type imapState int

const (
	imapCommand   imapState = iota // a command's first line
	imapMore                       // a line of a command that goes on after a literal
	imapAsking                     // the provider is asked for its consent
	imapLiteral                    // a literal that goes on
	imapIdling                     // the provider waits for DONE
	imapDropped                    // a line that does not go on
	imapSwallowed                  // a literal that does not go on
)

// readOnlyCommands change nothing in a mailbox that is open by EXAMINE, as
// SELECT is. UID's own are readOnlyByUID.
var (
	readOnlyCommands = []string{
		"CAPABILITY", "NOOP", "LOGOUT", "ID", "ENABLE", "NAMESPACE", "IDLE", "NOTIFY", // any state
		"SELECT", "EXAMINE", "LIST", "LSUB", "XLIST", "STATUS",
		"GETQUOTA", "GETQUOTAROOT", "GETACL", "LISTRIGHTS", "MYRIGHTS", "GETMETADATA",
		"CHECK", "CLOSE", "UNSELECT", "FETCH", "SEARCH", "ESEARCH", "SORT", "THREAD", "UID",
	}
	readOnlyByUID = []string{"FETCH", "SEARCH", "SORT", "THREAD"}
)

var errHalfACommand = errors.New("the rest of a command that has half been passed on cannot be read")

func newReadOnlyIMAP(n *narrowing) *readOnlyIMAP {
	f := &readOnlyIMAP{narrowing: n, tags: map[string]struct{}{}}
	n.hear, n.tell = f.hearIMAP, f.tellIMAP
	return f
}

func (f *readOnlyIMAP) hearIMAP(b []byte) error {
	for len(b) > 0 {
		var err error
		switch f.state {
		case imapAsking:
			err = f.heed()
		case imapLiteral, imapSwallowed:
			n := min(f.literal, len(b))
			if f.state == imapLiteral {
				f.out = append(f.out, b[:n]...)
			}
			f.literal, b = f.literal-n, b[n:]
			f.pastLiteral()
		default:
			var done bool
			if b, done = f.line.take(b); done {
				err = f.obey(f.line.string(), f.line.long)
				f.line.clear()
			}
		}
		if err != nil {
			return err
		}
	}
	return f.flush()
}

// pastLiteral goes on to the line behind a literal, once that is complete.
func (f *readOnlyIMAP) pastLiteral() {
	switch {
	case f.literal > 0:
	case f.state == imapLiteral:
		f.state = imapMore
	default:
		f.state = imapDropped
	}
}

// obey takes a complete line.
func (f *readOnlyIMAP) obey(line string, long bool) error {
	switch f.state {
	case imapMore:
		return f.more(line, long)
	case imapDropped:
		return f.refuse(line)
	case imapIdling:
		return f.idle(line, long)
	}
	return f.command(line, long)
}

// more takes the line behind a literal. Of a command that the provider has
// refused meanwhile, the end of the line goes on and no more.
func (f *readOnlyIMAP) more(line string, long bool) error {
	l, ok := readIMAPLine(line)
	if !ok || long || line != "" && line[0] != ' ' && line[0] != ')' {
		f.answer("* BYE the rest of the command cannot be read")
		return f.to.Abort(errHalfACommand)
	}
	if f.underWay() {
		return f.forward(line, l)
	}
	f.out = append(f.out, "\r\n"...)
	f.refusal = ""
	return f.refuse(line)
}

func (f *readOnlyIMAP) underWay() bool {
	f.to.Lock()
	defer f.to.Unlock()
	_, ok := f.tags[f.tag]
	return ok
}

// command takes the first line of a command.
func (f *readOnlyIMAP) command(line string, long bool) error {
	if line == "" {
		return nil // what some send behind a literal
	}
	f.refusal = ""
	tag, rest, _ := strings.Cut(line, " ")
	verb, args, _ := strings.Cut(rest, " ")
	if !imapsyntax.ValidTag(tag) {
		f.refusal = "* BAD expected a tag and a command"
		return f.refuse(line)
	}
	f.tag = tag
	l, ok := readIMAPLine(line)
	verb = strings.ToUpper(verb)
	switch {
	case long:
		f.refusal = tag + " BAD command too long"
	case !ok:
		f.refusal = tag + " BAD command cannot be read"
	case !f.mayGoOn(verb, args):
		f.refusal = f.reason(verb)
	case verb == "IDLE" && args != "":
		// A provider that reads no arguments here would say "+ idling" to the size
		// of a literal, which is no consent to it: lines are read from then on.
		f.refusal = tag + " BAD IDLE takes no arguments"
	default:
		if err := f.enlist(tag); err != nil {
			return err
		}
		if f.refusal != "" {
			break
		}
		if verb == "SELECT" {
			line = tag + " EXAMINE" + line[len(tag+" SELECT"):]
		}
		if verb == "IDLE" {
			f.state = imapIdling
			f.ask(true, true)
			f.out = append(append(f.out, line...), "\r\n"...)
			return nil
		}
		return f.forward(line, l)
	}
	return f.refuse(line)
}

func (f *readOnlyIMAP) mayGoOn(verb, args string) bool {
	if verb == "UID" {
		verb, _, _ = strings.Cut(args, " ")
		return slices.Contains(readOnlyByUID, strings.ToUpper(verb))
	}
	return slices.Contains(readOnlyCommands, verb)
}

// reason is the answer to a command that must not go on: RFC 5530 §3 and, for
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

// enlist notes a command that is about to go on. A tag in use would make it
// unclear which command the provider answers.
func (f *readOnlyIMAP) enlist(tag string) error {
	f.to.Lock()
	defer f.to.Unlock()
	if _, ok := f.tags[tag]; ok {
		f.refusal = tag + " BAD a command with this tag is under way"
		return nil
	}
	if len(f.tags) == mostAwaited {
		return f.to.Abort(errTooMuchAtOnce)
	}
	f.tags[tag] = struct{}{}
	return nil
}

// forward passes on a line of a command, and asks for consent to its literal.
func (f *readOnlyIMAP) forward(line string, l imapLine) error {
	f.state = imapCommand
	if l.literal {
		if !l.waits {
			line = strings.TrimSuffix(line, "+}") + "}"
		}
		f.state, f.literal, f.waits = imapAsking, l.size, l.waits
		f.ask(l.waits, false)
	}
	f.out = append(append(f.out, line...), "\r\n"...)
	return nil
}

// refuse drops a line of a command. The answer is due where the command ends:
// at a literal that waits for a go-ahead it will not get, or behind those that
// do not.
func (f *readOnlyIMAP) refuse(line string) error {
	if size, waits, ok := literalAtEnd(line); ok && !waits {
		f.state, f.literal = imapSwallowed, size
		f.pastLiteral()
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
