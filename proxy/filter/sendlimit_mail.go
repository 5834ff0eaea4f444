package filter

import (
	"bytes"
	"errors"
	"sync/atomic"
	"time"

	"authferry/tokens"
)

// transaction is a message on its way, from MAIL on.
type transaction struct {
	mails      atomic.Int32    // MAIL commands that have not been refused
	recipients atomic.Int64    // RCPT commands that have not been refused
	place      *tokens.Message // in the hour; guarded by the sender, as are
	done       bool            // that it is settled
	sending    bool            // that all of its data has gone
	chunks     bool            // the provider takes chunks for it; not guarded
}

// readyForChunks returns a message if the provider takes chunks for it now, nil
// if not: one that refuses BDAT may do so without reading the chunk, which then
// would be commands to it.
func (f *sendLimit) readyForChunks(t *transaction) (*transaction, error) {
	if t.chunks {
		return t, nil
	}
	err := f.await(func() bool { return len(f.awaited) == 0 && !f.within })
	if err != nil {
		return nil, err
	}
	t.chunks = !f.settled(t) && t.mails.Load() > 0 && t.recipients.Load() > 0
	if !t.chunks {
		return nil, nil
	}
	return t, nil
}

// begin takes a place in the hour. It is given back when no message comes of
// it: messages under way count, and those that the provider refuses do not.
func (f *sendLimit) begin() (*transaction, time.Duration) {
	f.mail = nil
	place, again := f.vault.BeginMessage(f.grant)
	if place == nil {
		return nil, again
	}
	f.mail = &transaction{place: place}
	f.to.Lock()
	defer f.to.Unlock()
	f.open[f.mail] = struct{}{}
	return f.mail, 0
}

// withdraw gives up the message whose data has not been sent.
func (f *sendLimit) withdraw() {
	if f.mail == nil {
		return
	}
	f.to.Lock()
	defer f.to.Unlock()
	f.settleLocked(f.mail, false)
	f.mail = nil
}

func (f *sendLimit) settleLocked(t *transaction, sent bool) {
	t.place.End(sent)
	t.done = true
	delete(f.open, t)
}

func (f *sendLimit) settled(t *transaction) bool {
	f.to.Lock()
	defer f.to.Unlock()
	return t.done
}

// settleAll settles what the end of the session leaves open. Whether a message
// without an answer was sent nobody knows: it counts.
func (f *sendLimit) settleAll() {
	for t := range f.open {
		f.settleLocked(t, t.sending)
	}
}

// heed waits for the provider's answer to DATA.
func (f *sendLimit) heed() error {
	v := undecided
	if err := f.await(func() bool { v = f.verdict; return v != undecided }); err != nil {
		return err
	}
	f.state = smtpCommand
	if v == granted {
		f.state, f.end = smtpData, dataBegins
	}
	return nil
}

// early takes a reply that nobody asked for: a farewell, or the answer to a
// message before its end.
func (f *sendLimit) early(reply []byte) {
	if f.body != nil && !f.answered {
		f.answered = true
		f.settleLocked(f.body, replyCode(reply)/100 == 2)
	}
}

var errLoneCR = errors.New("a message has a dot between carriage returns without line feeds, which some servers take for its end")

// data passes on a message up to its end, and returns the rest.
func (f *sendLimit) data(b []byte) (rest []byte, err error) {
	var ended, ok bool
	f.out, rest, ended, ok = f.end.pass(f.out, b)
	if !ok {
		f.answer("421 4.7.0 line ends are CR and LF")
		return nil, f.to.Abort(errLoneCR)
	}
	if !ended {
		return rest, nil
	}
	t := f.mail
	f.state, f.mail = smtpCommand, nil
	f.to.Lock()
	defer f.to.Unlock()
	f.body, t.sending = nil, true
	if !f.answered {
		f.awaited = append(f.awaited, awaited{came: func(reply []byte) { f.settleLocked(t, replyCode(reply)/100 == 2) }})
	}
	return rest, nil
}

// dataEnd finds the end of a message: a dot on a line of its own (RFC 5321
// §4.1.1.4). Servers differ on whether a lone line feed or carriage return ends
// a line, so a dot between such may be the end for one and text for another,
// and the commands in the text would escape the count. Such a dot between line
// feeds is the end here, and goes on as one for everybody, CRLF.CRLF; one beside
// a lone carriage return ends the session. All else goes on as it is.
type dataEnd struct {
	held  string // not passed on yet: the line end and the dot that may have to be changed
	begun string // the line end that the line began with
	start bool   // nothing of the line has come
	dot   bool   // a dot is all that has come
	cr    bool   // a CR has come, which LF may follow
}

// dataBegins is the state behind the reply to DATA.
var dataBegins = dataEnd{begun: "\r\n", start: true}

// pass adds to out what goes on of b. It is not ok for the session to go on
// with a dot beside a lone CR.
func (e *dataEnd) pass(out, b []byte) (to, rest []byte, ended, ok bool) {
	for i := 0; i < len(b); i++ {
		if !e.start && !e.dot && !e.cr { // within a line
			n := bytes.IndexAny(b[i:], "\r\n")
			if n < 0 {
				n = len(b) - i
			}
			out = append(out, b[i:i+n]...)
			if i += n; i == len(b) {
				break
			}
		}
		c := b[i]
		if c != '\n' && e.cr { // it was a lone CR
			if e.dot {
				return out, nil, false, false
			}
			out = append(out, e.held...)
			*e = dataEnd{begun: "\r", start: true}
		}
		switch {
		case c == '\n' && e.dot && e.begun == "\r":
			return out, nil, false, false
		case c == '\n' && e.dot && e.begun == "\n":
			return append(out, "\r\n.\r\n"...), b[i+1:], true, true
		case c == '\n' && e.dot:
			return append(out, "\r\n"...), b[i+1:], true, true
		case c == '\n' && e.cr:
			out = append(append(out, e.held...), c)
			*e = dataEnd{begun: "\r\n", start: true}
		case c == '\n':
			out = append(out, e.held...)
			*e = dataEnd{begun: "\n", start: true, held: "\n"}
		case c == '\r':
			e.cr, e.held = true, e.held+"\r"
		case c == '.' && e.start && e.begun == "\n":
			e.start, e.dot, e.held = false, true, e.held+"."
		default:
			out = append(append(out, e.held...), c)
			e.dot = c == '.' && e.start
			e.start, e.held = false, ""
		}
	}
	return out, nil, false, true
}
