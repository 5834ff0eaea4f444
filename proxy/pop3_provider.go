package proxy

import (
	"fmt"
	"strings"

	"authferry/tokens"
)

// maxPOP3Command is the longest command line that RFC 2449 §4 lets a client
// send, CRLF included. A longer response waits for the go-ahead.
const maxPOP3Command = 255

func (d *pop3Dialect) enter(s *session, p *lineConn, g *tokens.Grant) error {
	if _, err := d.reply(p, g, "greeting"); err != nil {
		return err
	}
	e := d.endpoint(g.Provider)
	if e.StartTLS {
		if err := p.say("STLS"); err != nil {
			return err
		}
		reply, err := p.readLine(maxProviderLine)
		if err != nil {
			return err
		}
		if _, ok := pop3OK(reply); !ok {
			return fmt.Errorf("STLS refused: no login without TLS: %q", quotable(reply))
		}
		if err := p.startTLSClient(providerTLS(g.Provider, e)); err != nil {
			return err
		}
	}
	return d.enterBySASL(p, g)
}

// enterBySASL logs in. Microsoft closes the connection at an initial response,
// so its profile says POP3TwoLine; with real tokens the line is too long for one
// anyway.
func (d *pop3Dialect) enterBySASL(p *lineConn, g *tokens.Grant) error {
	command := "AUTH " + g.Provider.Mechanism
	response := oauthResponse(g, d.endpoint(g.Provider))
	inline := !g.Provider.POP3TwoLine && len(command+" "+response+"\r\n") <= maxPOP3Command
	if inline {
		if err := p.sayCredential(command+" ", response); err != nil {
			return err
		}
	} else if err := p.say(command); err != nil {
		return err
	}
	var challenge string
	for said, lines := inline, 0; lines < maxProviderLines; lines++ {
		line, err := p.readLine(maxProviderLine)
		if err != nil {
			return err
		}
		text, ok := continuation(line)
		if !ok {
			d.accepted, err = d.judge(g, line, "AUTH", challenge)
			return err
		}
		if !said {
			said = true
			err = p.sayCredential("", response)
		} else {
			challenge = oauthChallenge(text)
			err = p.say(oauthGiveUp(g))
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("too many lines in answer to AUTH")
}

func (d *pop3Dialect) reply(p *lineConn, g *tokens.Grant, to string) (string, error) {
	line, err := p.readLine(maxProviderLine)
	if err != nil {
		return "", err
	}
	return d.judge(g, line, to, "")
}

// judge returns the text of a positive reply, and what a negative one means.
func (d *pop3Dialect) judge(g *tokens.Grant, line, to, challenge string) (string, error) {
	if text, ok := pop3OK(line); ok {
		return text, nil
	}
	text, ok := strings.CutPrefix(line, "-ERR")
	if !ok {
		return "", fmt.Errorf("%s is not POP3: %q", to, quotable(line))
	}
	text = strings.TrimSpace(text)
	if to == "greeting" {
		return "", providerSays(kindByText(text, errProviderBusy), g.Provider, text)
	}
	err := pop3Refusal(g.Provider, text)
	if challenge != "" {
		err = fmt.Errorf("%w (challenge: %q)", err, challenge)
	}
	return "", err
}

func pop3OK(line string) (text string, ok bool) {
	rest, ok := strings.CutPrefix(line, "+OK")
	return strings.TrimSpace(rest), ok
}

// pop3Refusal tells what a -ERR to AUTH means: codes by RFC 2449 §8.1 and RFC
// 3206. One without a code is taken for a bad token: Microsoft says
// "Authentication failure: unknown user name or bad password."
func pop3Refusal(p *tokens.Provider, text string) error {
	code := ""
	words := text
	if inner, ok := strings.CutPrefix(text, "["); ok {
		if c, rest, ok := strings.Cut(inner, "]"); ok {
			code, words = strings.ToUpper(c), strings.TrimSpace(rest)
		}
	}
	kind := errTokenRefused
	switch code {
	case "SYS/TEMP", "LOGIN-DELAY", "IN-USE":
		return providerSays(errProviderBusy, p, words)
	case "SYS/PERM":
		kind = errProviderRefused
	}
	return providerSays(kindByText(words, kind), p, words)
}

func (d *pop3Dialect) welcome(c *lineConn) error {
	return c.say(strings.TrimSpace("+OK " + d.accepted))
}
