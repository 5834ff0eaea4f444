package filter

import "strings"

// verdict is whether a provider wants what comes only with its consent: a
// literal, DONE, or the message behind SMTP's DATA.
type verdict int

const (
	unasked verdict = iota
	undecided
	granted
	denied
)

// ask notes, before the provider can answer, that its consent is needed: to a
// literal, or to DONE.
func (f *readOnlyIMAP) ask(waits, idling bool) {
	f.to.Lock()
	defer f.to.Unlock()
	f.asked, f.idling, f.silent, f.verdict = f.tag, idling, !waits, undecided
	if _, ok := f.tags[f.tag]; !ok {
		f.verdict = denied // it has answered before the end of the command
	}
}

// heed waits for the provider's consent to a literal. If it does not consent,
// it has answered the command; what the client has sent or will send of it all
// the same, because it did not wait, goes nowhere.
func (f *readOnlyIMAP) heed() error {
	v := undecided
	if err := f.await(func() bool { v = f.verdict; return v != undecided }); err != nil {
		return err
	}
	switch {
	case v == granted:
		f.state = imapLiteral
	case f.waits:
		f.state = imapCommand
		return nil
	default:
		f.state, f.refusal = imapSwallowed, ""
	}
	f.pastLiteral()
	return nil
}

// idle takes a line while the provider is idling, which DONE alone ends (RFC
// 2177). A provider that refused to idle, or has ended it, expects a command.
func (f *readOnlyIMAP) idle(line string, long bool) error {
	v := undecided
	if err := f.await(func() bool { v = f.verdict; return v != undecided }); err != nil {
		return err
	}
	done := strings.EqualFold(line, "DONE")
	switch {
	case v == granted && done:
		f.state = imapCommand
		f.out = append(f.out, "DONE\r\n"...)
	case v == granted:
		return f.answer("* BAD expected DONE")
	case done: // it has crossed the end of idling on its way
		f.state = imapCommand
	default:
		f.state = imapCommand
		return f.command(line, long)
	}
	return nil
}

// consented takes a continuation request. One that nobody has asked for means
// that the provider sees a literal where there is none. Idling may bring several.
func (f *readOnlyIMAP) consented() error {
	if f.verdict == undecided || f.verdict == granted && f.idling {
		f.decide(granted)
		return nil
	}
	f.to.End("provider", errUnaskedForMore)
	return errUnaskedForMore
}

func (f *readOnlyIMAP) decide(v verdict) {
	f.verdict = v
	f.turn.Broadcast()
}
