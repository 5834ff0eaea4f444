package filter

import "bytes"

// inOrder is a narrowing of a protocol whose replies come in the order of the
// commands: POP3 (RFC 2449 §6.6) and SMTP (RFC 2920 §3.1). An answer of ours
// waits for those of the commands before.
type inOrder struct {
	*narrowing
	// over tells whether a line ends the provider's reply to a command.
	over func(a *awaited, line *partialLine, first bool) bool
	// unasked is told of a reply to no command; may be nil.
	unasked func(line []byte)

	// Guarded by the sender.
	awaited []awaited
	partial partialLine
	within  bool // a reply of several lines is under way
}

// awaited is the reply to a command under way: one of ours, or else one that is
// to come from the provider.
type awaited struct {
	ours  string
	lines bool              // it may have several lines (POP3)
	came  func(line []byte) // told of its last line, with the sender locked; may be nil
}

func (o *inOrder) between() bool { return o.partial.size == 0 && !o.within }

// answer gives a reply of ours when its turn comes.
func (o *inOrder) answer(line string) error { return o.expect(awaited{ours: line + "\r\n"}) }

// expect notes a reply that is to come. Call it before the provider can give it.
func (o *inOrder) expect(a awaited) error {
	o.to.Lock()
	defer o.to.Unlock()
	switch {
	case a.ours != "" && len(o.awaited) == 0 && o.between():
		return o.to.Say(a.ours)
	case len(o.awaited) == mostAwaited:
		return o.to.Abort(errTooMuchAtOnce)
	}
	o.awaited = append(o.awaited, a)
	return nil
}

func (o *inOrder) tellInOrder(b []byte) ([]byte, error) {
	s := splice{b: b}
	for at := 0; at < len(b); {
		n, ended := o.partial.add(b[at:])
		at += n
		if !ended {
			break
		}
		var none awaited
		a := &none
		if len(o.awaited) > 0 {
			a = &o.awaited[0]
		}
		o.within = !o.over(a, &o.partial, !o.within)
		if !o.within {
			o.replied(a)
			s.insert(at, o.due())
		}
		o.partial.reset()
	}
	o.turn.Broadcast()
	return s.result(), nil
}

// replied takes the last line of a reply.
func (o *inOrder) replied(a *awaited) {
	line := bytes.TrimRight(o.partial.head, "\r\n")
	switch {
	case len(o.awaited) == 0 && o.unasked != nil:
		o.unasked(line)
	case len(o.awaited) > 0 && a.came != nil:
		a.came(line)
	}
	if len(o.awaited) > 0 {
		o.awaited = o.awaited[1:]
	}
}

// due are the replies of ours whose turn it is.
func (o *inOrder) due() (text string) {
	for len(o.awaited) > 0 && o.awaited[0].ours != "" {
		text += o.awaited[0].ours
		o.awaited = o.awaited[1:]
	}
	return text
}
