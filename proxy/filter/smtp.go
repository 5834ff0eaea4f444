package filter

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"authferry/tokens"
)

// sendLimit keeps a client to what its password may send: a number of messages in
// any hour, each to a number of recipients.
//
// Refusals are temporary, so that queues keep the mail. Commands that would hide
// messages from the count are refused permanently: TLS within TLS, BURL, ETRN, and
// all that are not known.
type sendLimit struct {
	*session
	replies    ordered
	vault      *tokens.Vault
	grant      *tokens.Grant
	recipients int    // of one message; 0: any number
	from       string // the sender of every message; empty: as the client says
	offered    bool   // the provider supports BDAT, after EHLO
	chunking   bool   // ... and now

	state   smtpState
	message *message // from MAIL to the end of the data, RSET or EHLO
	bdat    int      // bytes of a chunk to come
	onward  bool     // they are forwarded
	end     dataEnd

	// Guarded by the sender.
	continuation continuation // of the provider: to DATA, or to a command that resets
	data         *message     // whose data is under way after DATA
	answered     bool         // the provider has answered it before its end
	greeted      string       // the last of EHLO and HELO that the provider accepted
	open         map[*message]struct{}
}

type smtpState int

const (
	smtpCommand   smtpState = iota
	smtpAwaiting            // DATA has been forwarded, and the provider has not answered
	smtpResetting           // ... RSET, EHLO or HELO has
	smtpData                // the message after DATA
	smtpChunk               // the bytes after BDAT
)

// message is a message that is being sent, from MAIL on.
type message struct {
	mails      atomic.Int32    // MAIL commands that have not been refused
	recipients atomic.Int64    // RCPT commands that have not been refused
	chunks     bool            // the provider accepts chunks for it
	place      *tokens.Message // in the hour; guarded by the sender, as are
	settled    bool            // it has been sent, or not
	sending    bool            // all of its data has been forwarded
}

func newSendLimit(s *session, o Options) *sendLimit {
	f := &sendLimit{
		session: s, replies: ordered{session: s, last: lastSMTP}, vault: o.Vault, grant: o.Grant,
		recipients: o.Grant.Password.Recipients, offered: o.Chunking, chunking: o.Chunking, open: map[*message]struct{}{},
	}
	f.replies.unexpected = f.unexpected
	if o.Grant.Trusted {
		f.from = o.Grant.Mailbox
	}
	return f
}

// lastSMTP reports whether a line ends a reply: it has no hyphen after its code
// (RFC 5321 §4.2.1).
func lastSMTP(_ *reply, line *partialLine, _ bool) bool {
	return len(line.head) < 4 || line.head[3] != '-'
}

// FromClient is part of [relay.Filter].
func (f *sendLimit) FromClient(b []byte) error {
	for len(b) > 0 {
		var err error
		switch f.state {
		case smtpAwaiting:
			err = f.awaitContinuation()
		case smtpResetting:
			err = f.awaitReset()
		case smtpData:
			b, err = f.takeData(b)
		case smtpChunk:
			n := min(f.bdat, len(b))
			if f.onward {
				f.out = append(f.out, b[:n]...)
			}
			if f.bdat, b = f.bdat-n, b[n:]; f.bdat == 0 {
				f.state = smtpCommand
			}
		default:
			line, long, rest, ok := f.readLine(b)
			if b = rest; ok {
				err = f.command(line, long)
			}
		}
		if err != nil {
			return err
		}
	}
	return f.flush()
}

// FromProvider is part of [relay.Filter].
func (f *sendLimit) FromProvider(b []byte) ([]byte, error) { return f.replies.fromProvider(b) }

// Close settles the messages that the end of the session leaves open. It is
// unknown whether one without an answer was sent: it counts.
func (f *sendLimit) Close() {
	f.session.Close()
	f.sender.Lock()
	defer f.sender.Unlock()
	for m := range f.open {
		f.settle(m, m.sending)
	}
}

// NoMail is the reply to a command of a message that comes before MAIL.
const NoMail = "503 5.5.1 MAIL first"

func (f *sendLimit) command(line string, long bool) error {
	verb, args, _ := strings.Cut(line, " ")
	switch {
	case long:
		return f.replies.answer("500 5.5.2 line too long")
	case ambiguous(line):
		return f.replies.answer("500 5.5.2 a line break in a command")
	}
	switch verb = upperASCII(verb); verb {
	case "MAIL":
		return f.commandMAIL(line)
	case "RCPT":
		return f.commandRCPT(line)
	case "DATA":
		return f.commandDATA(line)
	case "BDAT":
		return f.commandBDAT(line, args)
	case "RSET", "EHLO", "HELO":
		return f.commandReset(line, verb)
	case "NOOP", "QUIT", "VRFY", "EXPN", "HELP":
		return f.forwardCommand(line, nil)
	case "AUTH":
		return f.replies.answer("503 5.5.1 you are logged in already")
	}
	return f.replies.answer("502 5.5.1 " + f.password + " has limits and does not allow this command")
}

// upperASCII returns a command's name as servers compare it: they do not know that
// Unicode has more letters that become an S, such as the long s.
func upperASCII(verb string) string {
	if strings.ContainsFunc(verb, func(r rune) bool { return r > '~' }) {
		return ""
	}
	return strings.ToUpper(verb)
}

// forwardCommand forwards a command; replied is told of the code of its reply.
func (f *sendLimit) forwardCommand(line string, replied func(code int)) error {
	r := reply{}
	if replied != nil {
		r.ended = func(line []byte) { replied(replyCode(line)) }
	}
	if err := f.replies.expect(r); err != nil {
		return err
	}
	f.forward(line)
	return nil
}

// replyCode is 0 for a line that is no reply.
func replyCode(line []byte) int {
	code, _ := strconv.Atoi(string(line[:min(3, len(line))]))
	return code
}

// requestContinuation forwards a command whose reply decides how to read what
// follows it.
func (f *sendLimit) requestContinuation(line string, granting func(code int) bool) error {
	f.sender.Lock()
	f.continuation = requested
	f.sender.Unlock()
	return f.forwardCommand(line, func(code int) {
		f.continuation = refused
		if granting(code) {
			f.continuation = granted
		}
		f.changed.Broadcast()
	})
}

// commandReset asks the provider whether it forgets the message under way. If it
// refuses an EHLO that it cannot read, it goes on with it, and so must the count.
func (f *sendLimit) commandReset(line, verb string) error {
	f.state = smtpResetting
	return f.requestContinuation(line, func(code int) bool {
		if code/100 == 2 && verb != "RSET" {
			f.greeted = verb
		}
		return code/100 == 2
	})
}

func (f *sendLimit) awaitReset() error {
	c, greeted := requested, ""
	if err := f.await(func() bool { c, greeted = f.continuation, f.greeted; return c != requested }); err != nil {
		return err
	}
	f.state = smtpCommand
	if c == granted {
		f.dropMessage()
		f.chunking = f.offered && greeted != "HELO"
	}
	return nil
}

// commandMAIL takes a place in the hour for a message, and returns it if the
// provider refuses the sender. 451 is among the replies that RFC 5321 §4.3.2
// allows to MAIL; X.7.1 means that a policy is the reason (RFC 3463 §3.8).
func (f *sendLimit) commandMAIL(line string) error {
	if f.from != "" {
		var ok bool
		if line, ok = MailFrom(line, f.from); !ok {
			return f.replies.answer(BadMailFrom)
		}
	}
	m := f.current()
	if m == nil {
		var again time.Duration
		if m, again = f.beginMessage(); m == nil {
			return f.replies.answer("451 4.7.1 " + TooManyMessages(f.password, f.grant.Password.MessagesPerHour, again))
		}
	}
	m.mails.Add(1) // a second one is for the provider to refuse, and takes no place
	return f.forwardCommand(line, func(code int) {
		if code/100 != 2 && m.mails.Add(-1) == 0 {
			f.settle(m, false)
		}
	})
}

// TooManyMessages returns the words that refuse a message until the limit of the
// hour allows another one.
func TooManyMessages(who string, limit int, again time.Duration) string {
	wait := "a minute"
	if again > time.Minute {
		wait = fmt.Sprintf("%d minutes", (again+time.Minute-1)/time.Minute)
	}
	return fmt.Sprintf("%s is limited to %d an hour, including messages being sent: try again in %s", who, limit, wait)
}

// commandRCPT counts the recipients of a message, without those that the provider
// has refused. RFC 5321 §4.5.3.1.10 has the client try the rest again later.
func (f *sendLimit) commandRCPT(line string) error {
	m := f.current()
	if m == nil {
		return f.replies.answer(NoMail)
	}
	if f.recipients > 0 && m.recipients.Load() >= int64(f.recipients) {
		return f.replies.answer(fmt.Sprintf("452 4.5.3 too many recipients for %s (at most %d for a message): send it to the others separately",
			f.password, f.recipients))
	}
	m.recipients.Add(1)
	return f.forwardCommand(line, func(code int) {
		if code/100 != 2 {
			m.recipients.Add(-1)
		}
	})
}

// commandDATA asks the provider whether it accepts data now: if it does not, what
// follows are commands.
func (f *sendLimit) commandDATA(line string) error {
	m := f.current()
	if m == nil {
		return f.replies.answer(NoMail)
	}
	f.state = smtpAwaiting
	return f.requestContinuation(line, func(code int) bool {
		switch {
		case code/100 != 3:
			return false
		case m.settled: // another message has its place by now
			f.sender.Abort(errUnexpectedMore)
			return false
		}
		f.data, f.answered = m, false
		return true
	})
}

// awaitContinuation waits for the provider's answer to DATA.
func (f *sendLimit) awaitContinuation() error {
	c := requested
	if err := f.await(func() bool { c = f.continuation; return c != requested }); err != nil {
		return err
	}
	f.state = smtpCommand
	if c == granted {
		f.state, f.end = smtpData, dataBegins
	}
	return nil
}

var errLoneCR = errors.New("a message has a dot between carriage returns without line feeds, which some servers take for its end")

// takeData forwards a message up to its end, and returns the rest.
func (f *sendLimit) takeData(b []byte) (rest []byte, err error) {
	var ended, ok bool
	f.out, rest, ended, ok = f.end.pass(f.out, b)
	if !ok {
		f.replies.answer("421 4.7.0 line ends are CR and LF")
		return nil, f.sender.Abort(errLoneCR)
	}
	if !ended {
		return rest, nil
	}
	m := f.message
	f.state, f.message = smtpCommand, nil
	f.sender.Lock()
	defer f.sender.Unlock()
	f.data, m.sending = nil, true
	if !f.answered {
		f.replies.awaited = append(f.replies.awaited, reply{ended: func(line []byte) { f.settle(m, replyCode(line)/100 == 2) }})
	}
	return rest, nil
}

// unexpected takes a reply to no command: a farewell, or the answer to a message
// before its end.
func (f *sendLimit) unexpected(line []byte) {
	if f.data != nil && !f.answered {
		f.answered = true
		f.settle(f.data, replyCode(line)/100 == 2)
	}
}

// commandBDAT follows the chunks of RFC 3030, whose bytes do not wait for consent.
// A provider without CHUNKING would read them as commands.
func (f *sendLimit) commandBDAT(line, args string) error {
	digits, last, _ := strings.Cut(args, " ")
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || last != "" && !strings.EqualFold(last, "LAST") {
		f.replies.answer("421 4.7.0 BDAT takes a size, and LAST")
		return f.sender.Abort(errHalfACommand)
	}
	m := f.current()
	if m != nil && f.chunking {
		ready, err := f.readyForChunks(m)
		if err != nil {
			return err
		}
		if !ready {
			m = nil
		}
	}
	f.bdat, f.onward = int(n), f.chunking && m != nil
	if n > 0 {
		f.state = smtpChunk
	}
	switch {
	case !f.chunking:
		return f.replies.answer("502 5.5.1 CHUNKING is not on offer")
	case m == nil:
		return f.replies.answer(NoMail)
	case last == "":
		return f.forwardCommand(line, nil)
	}
	f.message = nil
	f.sender.Lock()
	m.sending = true
	f.sender.Unlock()
	return f.forwardCommand(line, func(code int) { f.settle(m, code/100 == 2) })
}

// readyForChunks reports whether the provider accepts chunks for a message now. A
// provider may refuse BDAT without reading the chunk, which it then reads as
// commands.
func (f *sendLimit) readyForChunks(m *message) (bool, error) {
	if m.chunks {
		return true, nil
	}
	if err := f.await(f.replies.idle); err != nil {
		return false, err
	}
	m.chunks = f.current() == m && m.mails.Load() > 0 && m.recipients.Load() > 0
	return m.chunks, nil
}

// current returns the message under way, or nil if the provider cannot know of one.
func (f *sendLimit) current() *message {
	if f.message == nil {
		return nil
	}
	f.sender.Lock()
	defer f.sender.Unlock()
	if f.message.settled {
		return nil
	}
	return f.message
}

// beginMessage takes a place in the hour. It is returned if no message is sent:
// messages under way count, and those that the provider refuses do not.
func (f *sendLimit) beginMessage() (*message, time.Duration) {
	f.message = nil
	place, again := f.vault.BeginMessage(f.grant)
	if place == nil {
		return nil, again
	}
	f.message = &message{place: place}
	f.sender.Lock()
	defer f.sender.Unlock()
	f.open[f.message] = struct{}{}
	if f.over { // Close, which settles what is open, will not come again
		f.settle(f.message, false)
	}
	return f.message, 0
}

// dropMessage gives up the message whose data has not been sent.
func (f *sendLimit) dropMessage() {
	if f.message == nil {
		return
	}
	f.sender.Lock()
	defer f.sender.Unlock()
	f.settle(f.message, false)
	f.message = nil
}

// settle notes, with the sender locked, whether a message has been sent.
func (f *sendLimit) settle(m *message, sent bool) {
	m.place.End(sent)
	m.settled = true
	delete(f.open, m)
}
