package upstream

import (
	"fmt"
	"strings"

	"authferry/tokens/oauth"
)

// maxPOP3Command is the longest command line that RFC 2449 §4 allows a client to
// send, CRLF included.
const maxPOP3Command = 255

// pop3Login is a login over POP3 (RFC 1939, RFC 5034).
type pop3Login struct{ attempt }

func (l *pop3Login) run() error {
	if err := l.greeting(); err != nil {
		return err
	}
	if l.endpoint.StartTLS {
		if err := l.secure(); err != nil {
			return err
		}
	}
	return l.logIn()
}

func (l *pop3Login) greeting() error {
	line, err := l.conn.ReadLine(maxLine)
	if err != nil {
		return err
	}
	if _, ok := pop3OK(line); ok {
		return nil
	}
	if text, ok := pop3Err(line); ok {
		return answered(kindByText(text, ErrProviderBusy), l.grant.Provider, text)
	}
	return fmt.Errorf("greeting is not POP3: %q", Quotable(line))
}

func (l *pop3Login) secure() error {
	if err := l.conn.Say("STLS"); err != nil {
		return err
	}
	reply, err := l.conn.ReadLine(maxLine)
	if err != nil {
		return err
	}
	if _, ok := pop3OK(reply); !ok {
		return fmt.Errorf("STLS refused: no login without TLS: %q", Quotable(reply))
	}
	return l.startTLS()
}

// logIn sends AUTH and the token. Microsoft closes the connection at an initial
// response, so its profile sets POP3TwoLine; a real token is too long for one line
// anyway.
func (l *pop3Login) logIn() error {
	limit := maxPOP3Command
	if l.grant.Provider.POP3TwoLine {
		limit = 0
	}
	var reply string
	err := l.authenticate("AUTH "+l.grant.Provider.Mechanism, limit, func() (text string, more bool, err error) {
		if reply, err = l.conn.ReadLine(maxLine); err != nil {
			return "", false, err
		}
		text, more = continuation(reply)
		return text, more, nil
	})
	if err != nil {
		return err
	}
	text, ok := pop3OK(reply)
	switch {
	case ok && l.sent:
		l.session.Accepted = text
		return nil
	case ok:
		return errUnasked
	}
	if text, ok = pop3Err(reply); !ok {
		return fmt.Errorf("not a reply of POP3: %q", Quotable(reply))
	}
	return l.refused(pop3Refusal(l.grant.Provider, text, l.sent))
}

func pop3OK(line string) (text string, ok bool) {
	rest, ok := strings.CutPrefix(line, "+OK")
	return strings.TrimSpace(rest), ok
}

func pop3Err(line string) (text string, ok bool) {
	rest, ok := strings.CutPrefix(line, "-ERR")
	return strings.TrimSpace(rest), ok
}

// pop3Refusal returns what a -ERR to AUTH means: codes by RFC 2449 §8.1 and RFC
// 3206. One without a code counts as a bad token if the token was sent: Microsoft
// says "Authentication failure: unknown user name or bad password."
func pop3Refusal(p *oauth.Provider, text string, sent bool) error {
	code, words := "", text
	if inner, ok := strings.CutPrefix(text, "["); ok {
		if c, rest, ok := strings.Cut(inner, "]"); ok {
			code, words = strings.ToUpper(c), strings.TrimSpace(rest)
		}
	}
	kind := ErrProviderRefused
	if sent && code != "SYS/PERM" {
		kind = ErrTokenRefused
	}
	switch code {
	case "SYS/TEMP", "LOGIN-DELAY", "IN-USE":
		return answered(ErrProviderBusy, p, words)
	}
	return answered(kindByText(words, kind), p, words)
}
