package filter

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"authferry/tokens"
)

// sendLimit keeps a client to what its password may send: so many messages in
// any hour, each to so many recipients. This file follows the commands,
// sendlimit_mail.go a message and what becomes of it.
//
// Refusals are temporary, so that queues keep the mail. What would hide
// messages from the count is refused for good: TLS within TLS, BURL, ETRN, and
// whatever else is not known.
type sendLimit struct {
	inOrder
	vault      *tokens.Vault
	grant      *tokens.Grant
	recipients int    // of one message; 0: any number
	sender     string // who has to send, whatever the client says; empty: as it says
	offered    bool   // the provider takes BDAT, after EHLO
	chunking   bool   // and now

	state  smtpState
	mail   *transaction // from MAIL to the end of the data, RSET or EHLO
	bdat   int          // bytes of a chunk to come
	onward bool         // they go on to the provider
	end    dataEnd

	// Guarded by the sender.
	verdict  verdict      // of the provider on DATA, or on what resets
	body     *transaction // whose message is on its way behind DATA
	answered bool         // the provider has answered it before its end
	greeted  string       // the last of EHLO and HELO that the provider took
	open     map[*transaction]struct{}
}

type smtpState int

const (
	smtpCommand   smtpState = iota
	smtpAsking              // DATA has gone to the provider
	smtpResetting           // RSET, EHLO or HELO has
	smtpData                // the message behind it
	smtpChunk               // the bytes behind BDAT
)

func newSendLimit(n *narrowing, v *tokens.Vault, g *tokens.Grant, chunking bool) {
	f := &sendLimit{
		inOrder: inOrder{narrowing: n, over: smtpOver}, vault: v, grant: g,
		recipients: g.Password.Recipients, offered: chunking, chunking: chunking, open: map[*transaction]struct{}{},
	}
	if g.Trusted {
		f.sender = g.Mailbox
	}
	n.hear, n.tell, n.last, f.unasked = f.hearSMTP, f.tellInOrder, f.settleAll, f.early
}

// smtpOver: a reply's last line has no hyphen behind its code (RFC 5321 §4.2.1).
func smtpOver(_ *awaited, line *partialLine, _ bool) bool {
	return len(line.head) < 4 || line.head[3] != '-'
}

func (f *sendLimit) hearSMTP(b []byte) error {
	for len(b) > 0 {
		var err error
		switch f.state {
		case smtpAsking:
			err = f.heed()
		case smtpResetting:
			err = f.heedReset()
		case smtpData:
			b, err = f.data(b)
		case smtpChunk:
			n := min(f.bdat, len(b))
			if f.onward {
				f.out = append(f.out, b[:n]...)
			}
			if f.bdat, b = f.bdat-n, b[n:]; f.bdat == 0 {
				f.state = smtpCommand
			}
		default:
			var done bool
			if b, done = f.line.take(b); done {
				line, long := f.line.string(), f.line.long
				f.line.clear()
				err = f.obey(line, long)
			}
		}
		if err != nil {
			return err
		}
	}
	return f.flush()
}

func (f *sendLimit) obey(line string, long bool) error {
	verb, args, _ := strings.Cut(line, " ")
	switch {
	case long:
		return f.answer("500 5.5.2 line too long")
	case misread(line):
		return f.answer("500 5.5.2 a line break in a command")
	}
	switch upperASCII(verb) {
	case "MAIL":
		return f.obeyMail(line)
	case "RCPT":
		return f.obeyRcpt(line)
	case "DATA":
		return f.obeyData(line)
	case "BDAT":
		return f.obeyBdat(line, args)
	case "RSET", "EHLO", "HELO":
		return f.obeyReset(line, upperASCII(verb))
	case "NOOP", "QUIT", "VRFY", "EXPN", "HELP":
		return f.forward(line, nil)
	case "AUTH":
		return f.answer("503 5.5.1 you are logged in already")
	}
	return f.answer("502 5.5.1 not with " + f.password + ", which has limits")
}

// obeyReset asks the provider whether it forgets the message under way: one that
// refuses an EHLO it cannot read goes on with it, and so must the count.
func (f *sendLimit) obeyReset(line, verb string) error {
	f.state = smtpResetting
	return f.ask(line, func(code int) bool {
		if code/100 == 2 && verb != "RSET" {
			f.greeted = verb
		}
		return code/100 == 2
	})
}

// heedReset waits for the answer.
func (f *sendLimit) heedReset() error {
	v, greeted := undecided, ""
	if err := f.await(func() bool { v, greeted = f.verdict, f.greeted; return v != undecided }); err != nil {
		return err
	}
	f.state = smtpCommand
	if v == granted {
		f.withdraw()
		f.chunking = f.offered && greeted != "HELO"
	}
	return nil
}

// ask sends on a command whose answer decides how to read what follows.
func (f *sendLimit) ask(line string, yes func(code int) bool) error {
	f.to.Lock()
	f.verdict = undecided
	f.to.Unlock()
	return f.forward(line, func(code int) {
		f.verdict = denied
		if yes(code) {
			f.verdict = granted
		}
		f.turn.Broadcast()
	})
}

// upperASCII is a command's name as servers compare it: they know nothing of
// letters such as the long s, which Unicode takes for an S.
func upperASCII(verb string) string {
	if strings.ContainsFunc(verb, func(r rune) bool { return r > '~' }) {
		return ""
	}
	return strings.ToUpper(verb)
}

// forward sends a command on; came is told of the reply.
func (f *sendLimit) forward(line string, came func(code int)) error {
	a := awaited{}
	if came != nil {
		a.came = func(reply []byte) { came(replyCode(reply)) }
	}
	if err := f.expect(a); err != nil {
		return err
	}
	f.out = append(append(f.out, line...), "\r\n"...)
	return nil
}

// replyCode is 0 for what is no reply.
func replyCode(line []byte) int {
	code, _ := strconv.Atoi(string(line[:min(3, len(line))]))
	return code
}

// obeyMail takes a place in the hour for a message, and gives it back if the
// provider wants nothing of it. 451 is among the replies that RFC 5321 §4.3.2
// foresees for MAIL; X.7.1 says that a policy is behind it (RFC 3463 §3.8).
func (f *sendLimit) obeyMail(line string) error {
	if f.sender != "" {
		var ok bool
		if line, ok = MailFrom(line, f.sender); !ok {
			return f.answer(BadMailFrom)
		}
	}
	t := f.mail
	if t == nil || f.settled(t) {
		var again time.Duration
		if t, again = f.begin(); t == nil {
			return f.answer("451 4.7.1 " + TooManyMessages(f.password, f.grant.Password.MessagesPerHour, again))
		}
	}
	t.mails.Add(1) // nested, the second is for the provider to refuse, and takes no place
	return f.forward(line, func(code int) {
		if code/100 != 2 && t.mails.Add(-1) == 0 {
			f.settleLocked(t, false)
		}
	})
}

func TooManyMessages(who string, limit int, again time.Duration) string {
	return fmt.Sprintf("%s is limited to %d an hour, those under way included: try again in %s", who, limit, minutes(again))
}

func minutes(d time.Duration) string {
	if d <= time.Minute {
		return "a minute"
	}
	return fmt.Sprintf("%d minutes", (d+time.Minute-1)/time.Minute)
}

const NoMail = "503 5.5.1 MAIL first"

// obeyRcpt counts the recipients of a message, without those that the provider
// has refused by now: RFC 5321 §4.5.3.1.10 has the rest tried again later.
func (f *sendLimit) obeyRcpt(line string) error {
	t := f.current()
	if t == nil {
		return f.answer(NoMail)
	}
	if f.recipients > 0 && t.recipients.Load() >= int64(f.recipients) {
		return f.answer(fmt.Sprintf("452 4.5.3 %s may send a message to %d recipients: send the rest in another one",
			f.password, f.recipients))
	}
	t.recipients.Add(1)
	return f.forward(line, func(code int) {
		if code/100 != 2 {
			t.recipients.Add(-1)
		}
	})
}

// obeyData asks the provider whether it takes data now: if it does not, what
// follows are commands.
func (f *sendLimit) obeyData(line string) error {
	t := f.current()
	if t == nil {
		return f.answer(NoMail)
	}
	f.state = smtpAsking
	return f.ask(line, func(code int) bool {
		switch {
		case code/100 != 3:
			return false
		case t.done: // its place is somebody else's by now
			f.to.Abort(errUnaskedForMore)
			return false
		}
		f.body, f.answered = t, false
		return true
	})
}

// current is the message under way, nil if there is none that the provider may
// know of.
func (f *sendLimit) current() *transaction {
	if f.mail == nil || f.settled(f.mail) {
		return nil
	}
	return f.mail
}

// obeyBdat follows the chunks of RFC 3030, whose bytes come without asking. To
// a provider that does not know them they would be commands.
func (f *sendLimit) obeyBdat(line, args string) error {
	digits, last, _ := strings.Cut(args, " ")
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || last != "" && !strings.EqualFold(last, "LAST") {
		f.answer("421 4.7.0 BDAT takes a size, and LAST")
		return f.to.Abort(errHalfACommand)
	}
	t := f.current()
	if t != nil && f.chunking {
		if t, err = f.readyForChunks(t); err != nil {
			return err
		}
	}
	f.bdat, f.onward = int(n), f.chunking && t != nil
	if n > 0 {
		f.state = smtpChunk
	}
	switch {
	case !f.chunking:
		return f.answer("502 5.5.1 CHUNKING is not on offer")
	case t == nil:
		return f.answer(NoMail)
	case last == "":
		return f.forward(line, nil)
	}
	f.mail = nil
	f.to.Lock()
	t.sending = true
	f.to.Unlock()
	return f.forward(line, func(code int) { f.settleLocked(t, code/100 == 2) })
}
