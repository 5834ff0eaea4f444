package proxy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/emersion/go-imap/v2"

	"authferry/proxy/imapsyntax"
	"authferry/proxy/relay"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

const (
	// maxProviderLine is the longest line taken from a provider before login;
	// the longest known are capability lists and challenges of about 1 kB.
	maxProviderLine = 16 << 10
	// maxProviderLines is how many lines a provider may send in answer to one
	// command before login.
	maxProviderLines = 100
)

func (d *imapDialect) enter(s *session, p *relay.Conn, g *tokens.Grant) error {
	d.capabilities, d.untagged, d.accepted = "", nil, ""
	offered, err := d.greeting(p, g)
	if err != nil {
		return err
	}
	e := d.endpoint(g.Provider)
	if e.StartTLS {
		if err := d.secure(p, g, offered); err != nil {
			return err
		}
		offered = "" // what was said in the clear counts for nothing (RFC 9051 §6.2.1)
		d.untagged = nil
	}
	inline := g.Provider.IMAPInitialResponse || imapsyntax.HasWord(offered, "SASL-IR")
	if err := d.enterBySASL(p, g, inline); err != nil {
		return err
	}
	if d.capabilities != "" {
		return nil
	}
	// Clients take what welcome tells them for the provider's capabilities, so
	// they have to be known, even at the price of a round trip.
	if st, err := d.await(p, g, "A2 CAPABILITY"); err != nil {
		return err
	} else if st.Kind != "OK" || d.capabilities == "" {
		d.capabilities = "IMAP4rev1"
	}
	return nil
}

// greeting waits for the provider's first word. It returns the capabilities it
// lists, if it does; Gmail's does not.
func (d *imapDialect) greeting(p *relay.Conn, g *tokens.Grant) (offered string, err error) {
	line, err := p.ReadLine(maxProviderLine)
	if err != nil {
		return "", err
	}
	rest, _ := strings.CutPrefix(line, "* ")
	switch st := imapsyntax.ParseStatus(rest); st.Kind {
	case "OK":
		if st.Code == "CAPABILITY" {
			offered = st.Arg
		}
		return offered, nil
	case "PREAUTH":
		// Somebody is logged in already, and it is not our mailbox's owner.
		return "", errors.New("greeted with PREAUTH: not a server that takes logins")
	case "BYE":
		return "", providerSays(errProviderBusy, g.Provider, st.Text)
	}
	return "", fmt.Errorf("greeting is not IMAP: %q", quotable(line))
}

func (d *imapDialect) secure(p *relay.Conn, g *tokens.Grant, offered string) error {
	if offered != "" && !imapsyntax.HasWord(offered, "STARTTLS") {
		return errors.New("STARTTLS is not among its capabilities: no login without TLS")
	}
	st, err := d.await(p, g, "A0 STARTTLS")
	if err != nil {
		return err
	}
	if st.Kind != "OK" {
		return fmt.Errorf("STARTTLS refused: no login without TLS: %q", quotable(st.Rest))
	}
	e := d.endpoint(g.Provider)
	if err := p.StartTLSClient(providerTLS(g.Provider, e)); err != nil {
		return tlsError(e, err)
	}
	return nil
}

// enterBySASL logs in. Without inline the response waits for the go-ahead
// (RFC 4959 is an extension; Yandex lacks it).
func (d *imapDialect) enterBySASL(p *relay.Conn, g *tokens.Grant, inline bool) error {
	const tag = "A1"
	command := tag + " AUTHENTICATE " + g.Provider.Mechanism
	credentials := g.Credentials(d.endpoint(g.Provider))
	response := encodeSASL(credentials.Response())
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
		if text, ok := continuation(line); ok && !said {
			said = true
			if err := p.SayCredential("", response); err != nil {
				return err
			}
		} else if ok {
			challenge = oauthChallenge(text)
			if err := p.Say(encodeSASL(credentials.Answer())); err != nil {
				return err
			}
		} else if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			return d.admitted(g, imapsyntax.ParseStatus(rest), said, challenge)
		} else if err := d.note(g, line); err != nil {
			return err
		}
	}
	return errors.New("too many lines in answer to AUTHENTICATE")
}

// continuation reads a continuation request; Exchange sends a bare "+".
func continuation(line string) (text string, ok bool) {
	if line == "+" {
		return "", true
	}
	return strings.CutPrefix(line, "+ ")
}

// admitted judges the tagged answer to AUTHENTICATE, with the token said or not
// yet.
func (d *imapDialect) admitted(g *tokens.Grant, st imapsyntax.ImapStatus, said bool, challenge string) error {
	if st.Kind != "OK" {
		judged := said && st.Kind == "NO" || challenge != ""
		return challenged(imapRefusal(g.Provider, st, judged), challenge)
	}
	if !said {
		return errUnasked
	}
	d.accepted = st.Rest
	if st.Code == "CAPABILITY" {
		d.capabilities, d.accepted = st.Arg, st.Text
	}
	return nil
}

// note takes an untagged line: capabilities (Gmail and SmarterMail send them
// ahead of the tagged OK) are kept apart, alerts and the like go to the client.
func (d *imapDialect) note(g *tokens.Grant, line string) error {
	rest, ok := strings.CutPrefix(line, "* ")
	if !ok {
		return fmt.Errorf("not a line of IMAP: %q", quotable(line))
	}
	if st := imapsyntax.ParseStatus(rest); st.Kind == "BYE" {
		return providerSays(errProviderBusy, g.Provider, st.Text)
	}
	if word, list, _ := strings.Cut(rest, " "); strings.EqualFold(word, "CAPABILITY") {
		d.capabilities = list
		return nil
	}
	d.untagged = append(d.untagged, line)
	return nil
}

// await sends a command and returns its tagged answer.
func (d *imapDialect) await(p *relay.Conn, g *tokens.Grant, command string) (imapsyntax.ImapStatus, error) {
	if err := p.Say(command); err != nil {
		return imapsyntax.ImapStatus{}, err
	}
	tag, name, _ := strings.Cut(command, " ")
	for range maxProviderLines {
		line, err := p.ReadLine(maxProviderLine)
		if err != nil {
			return imapsyntax.ImapStatus{}, err
		}
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			return imapsyntax.ParseStatus(rest), nil
		}
		if err := d.note(g, line); err != nil {
			return imapsyntax.ImapStatus{}, err
		}
	}
	return imapsyntax.ImapStatus{}, fmt.Errorf("too many lines in answer to %s", name)
}

// imapRefusal tells what a tagged NO or BAD means; judged tells whether it is
// about a token. If so, and nothing explains it, the token is taken for a bad
// one: Microsoft says no more than "AUTHENTICATE failed.", and renewing a cached
// token costs little. A BAD without a challenge did not understand us, and
// another token would not help.
func imapRefusal(p *oauth.Provider, st imapsyntax.ImapStatus, judged bool) error {
	kind := errProviderRefused
	if judged {
		kind = errTokenRefused
	}
	switch imap.ResponseCode(st.Code) {
	case imap.ResponseCodeUnavailable, imap.ResponseCodeLimit, imap.ResponseCodeInUse,
		imap.ResponseCodeServerBug, imap.ResponseCodeOverQuota:
		return providerSays(errProviderBusy, p, st.Text)
	case imap.ResponseCodeContactAdmin, imap.ResponseCodeNoPerm, imap.ResponseCodePrivacyRequired,
		imap.ResponseCodeCannot:
		kind = errProviderRefused
	}
	return providerSays(kindByText(st.Text, kind), p, st.Text)
}

// welcome repeats the provider's answer under the client's tag. The provider's
// capabilities go into its code, so that no client keeps ours: RFC 9051 §7.1.
func (d *imapDialect) welcome(c *relay.Conn) error {
	lines := d.untagged
	if strings.HasPrefix(d.accepted, "[") { // there is room for one code only
		lines = append(lines, "* CAPABILITY "+d.capabilities, d.tag+" OK "+d.accepted)
	} else {
		lines = append(lines, d.tag+" OK [CAPABILITY "+d.capabilities+"] "+d.accepted)
	}
	return c.Say(lines...)
}
