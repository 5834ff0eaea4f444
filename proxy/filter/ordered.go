package filter

import "bytes"

// ordered gives the client its replies in the order of its commands, as POP3 (RFC
// 2449 §6.6) and SMTP (RFC 2920 §3.1) require: a reply of the filter waits for
// those of the commands before it.
type ordered struct {
	session *session
	// last reports whether a line ends the provider's reply to a command.
	last func(r *reply, line *partialLine, first bool) bool
	// unexpected is told of a reply to no command; may be nil.
	unexpected func(line []byte)

	// Guarded by the sender.
	awaited []reply
	partial partialLine
	within  bool // the provider has sent a part of a reply of several lines
}

// reply is one that the client is waiting for.
type reply struct {
	own       string            // what it is; empty: the provider's
	multiline bool              // it may have several lines (POP3)
	ended     func(line []byte) // told of its last line, with the sender locked; may be nil
}

func (o *ordered) between() bool { return o.partial.size == 0 && !o.within }

// idle reports whether the provider has replied to all commands.
func (o *ordered) idle() bool { return len(o.awaited) == 0 && !o.within }

// answer sends a reply of the filter when its turn comes.
func (o *ordered) answer(line string) error { return o.expect(reply{own: line + "\r\n"}) }

// expect notes a reply that is to come. Call it before the provider can send it.
func (o *ordered) expect(r reply) error {
	to := o.session.sender
	to.Lock()
	defer to.Unlock()
	switch {
	case r.own != "" && len(o.awaited) == 0 && o.between():
		return to.Say(r.own)
	case len(o.awaited) == maxAwaited:
		return to.Abort(errTooManyCommands)
	}
	o.awaited = append(o.awaited, r)
	return nil
}

// fromProvider follows the provider's replies and puts the filter's in between.
func (o *ordered) fromProvider(b []byte) ([]byte, error) {
	w := rewrite{b: b}
	for at := 0; at < len(b); {
		n, ended := o.partial.add(b[at:])
		at += n
		if !ended {
			break
		}
		r := &reply{}
		if len(o.awaited) > 0 {
			r = &o.awaited[0]
		}
		o.within = !o.last(r, &o.partial, !o.within)
		if !o.within {
			o.replied(r)
			w.insert(at, o.due())
		}
		o.partial.reset()
	}
	o.session.changed.Broadcast()
	return w.result(), nil
}

// replied takes the last line of a reply.
func (o *ordered) replied(r *reply) {
	line := bytes.TrimRight(o.partial.head, "\r\n")
	if len(o.awaited) == 0 {
		if o.unexpected != nil {
			o.unexpected(line)
		}
		return
	}
	if r.ended != nil {
		r.ended(line)
	}
	o.awaited = o.awaited[1:]
}

// due takes the filter's replies whose turn it is.
func (o *ordered) due() (text string) {
	for len(o.awaited) > 0 && o.awaited[0].own != "" {
		text += o.awaited[0].own
		o.awaited = o.awaited[1:]
	}
	return text
}
