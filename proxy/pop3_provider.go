package proxy

import (
	"errors"
	"fmt"
	"strings"

	"authferry/proxy/relay"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// maxPOP3Command is the longest command line that RFC 2449 §4 lets a client
// send, CRLF included. A longer response waits for the go-ahead.
const maxPOP3Command = 255

func (d *pop3Dialect) enter(s *session, p *relay.Conn, g *tokens.Grant) error {
	if err := d.greeting(p, g); err != nil {
		return err
	}
	e := d.endpoint(g.Provider)
	if e.StartTLS {
		if err := p.Say("STLS"); err != nil {
			return err
		}
		reply, err := p.ReadLine(maxProviderLine)
		if err != nil {
			return err
		}
		if _, ok := pop3OK(reply); !ok {
			return fmt.Errorf("STLS refused: no login without TLS: %q", quotable(reply))
		}
		if err := p.StartTLSClient(providerTLS(g.Provider, e)); err != nil {
			return tlsError(e, err)
		}
	}
	return d.enterBySASL(p, g)
}

// greeting waits for the provider's first word.
func (d *pop3Dialect) greeting(p *relay.Conn, g *tokens.Grant) error {
	line, err := p.ReadLine(maxProviderLine)
	if err != nil {
		return err
	}
	if _, ok := pop3OK(line); ok {
		return nil
	}
	if text, ok := pop3Err(line); ok {
		return providerSays(kindByText(text, errProviderBusy), g.Provider, text)
	}
	return fmt.Errorf("greeting is not POP3: %q", quotable(line))
}

// enterBySASL logs in. Microsoft closes the connection at an initial response,
// so its profile says POP3TwoLine; with real tokens the line is too long for one
// anyway.
func (d *pop3Dialect) enterBySASL(p *relay.Conn, g *tokens.Grant) error {
	command := "AUTH " + g.Provider.Mechanism
	credentials := g.Credentials(d.endpoint(g.Provider))
	response := encodeSASL(credentials.Response())
	inline := !g.Provider.POP3TwoLine && len(command+" "+response+"\r\n") <= maxPOP3Command
	if inline {
		if err := p.SayCredential(command+" ", response); err != nil {
			return err
		}
	} else if err := p.Say(command); err != nil {
		return err
	}
	said, challenge := inline, ""
	for range maxProviderLines {
		line, err := p.ReadLine(maxProviderLine)
		if err != nil {
			return err
		}
		text, ok := continuation(line)
		switch {
		case ok && !said:
			said = true
			err = p.SayCredential("", response)
		case ok:
			challenge = oauthChallenge(text)
			err = p.Say(encodeSASL(credentials.Answer()))
		default:
			return d.admitted(g, line, said, challenge)
		}
		if err != nil {
			return err
		}
	}
	return errors.New("too many lines in answer to AUTH")
}

// admitted judges the answer to AUTH, with the token said or not yet.
func (d *pop3Dialect) admitted(g *tokens.Grant, line string, said bool, challenge string) error {
	text, ok := pop3OK(line)
	switch {
	case ok && said:
		d.accepted = text
		return nil
	case ok:
		return errUnasked
	}
	if text, ok = pop3Err(line); !ok {
		return fmt.Errorf("not a reply of POP3: %q", quotable(line))
	}
	return challenged(pop3Refusal(g.Provider, text, said), challenge)
}

func pop3OK(line string) (text string, ok bool) {
	rest, ok := strings.CutPrefix(line, "+OK")
	return strings.TrimSpace(rest), ok
}

func pop3Err(line string) (text string, ok bool) {
	rest, ok := strings.CutPrefix(line, "-ERR")
	return strings.TrimSpace(rest), ok
}

// pop3Refusal tells what a -ERR to AUTH means: codes by RFC 2449 §8.1 and RFC
// 3206. One without a code is taken for a bad token: Microsoft says
// "Authentication failure: unknown user name or bad password."
func pop3Refusal(p *oauth.Provider, text string, said bool) error {
	code, words := "", text
	if inner, ok := strings.CutPrefix(text, "["); ok {
		if c, rest, ok := strings.Cut(inner, "]"); ok {
			code, words = strings.ToUpper(c), strings.TrimSpace(rest)
		}
	}
	kind := errProviderRefused
	if said && code != "SYS/PERM" {
		kind = errTokenRefused
	}
	switch code {
	case "SYS/TEMP", "LOGIN-DELAY", "IN-USE":
		return providerSays(errProviderBusy, p, words)
	}
	return providerSays(kindByText(words, kind), p, words)
}

func (d *pop3Dialect) welcome(c *relay.Conn) error {
	return c.Say(strings.TrimSpace("+OK " + d.accepted))
}
