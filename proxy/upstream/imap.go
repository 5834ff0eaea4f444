package upstream

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/emersion/go-imap/v2"

	"authferry/proxy/imapsyntax"
	"authferry/tokens/oauth"
)

// imapLogin is a login over IMAP (RFC 3501, RFC 9051).
type imapLogin struct{ attempt }

func (l *imapLogin) run() error {
	offered, err := l.greeting()
	if err != nil {
		return err
	}
	if l.endpoint.StartTLS {
		if err := l.secure(offered); err != nil {
			return err
		}
		// What was sent without TLS is not to be trusted (RFC 9051 §6.2.1).
		offered, l.session.Capabilities, l.session.Untagged = "", "", nil
	}
	if err := l.logIn(offered); err != nil {
		return err
	}
	if l.session.Capabilities != "" {
		return nil
	}
	// Clients believe the capabilities in the welcome, so these have to be the
	// provider's, even if they take another round trip.
	if st, err := l.command("A2 CAPABILITY"); err != nil {
		return err
	} else if st.Kind != "OK" || l.session.Capabilities == "" {
		l.session.Capabilities = "IMAP4rev1"
	}
	return nil
}

// greeting reads the greeting and returns the capabilities in it, if any;
// Gmail's has none.
func (l *imapLogin) greeting() (offered string, err error) {
	line, err := l.conn.ReadLine(maxLine)
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
	case "PREAUTH": // logged in already, so not as the mailbox
		return "", errors.New("greeted with PREAUTH: not a server that takes logins")
	case "BYE":
		return "", answered(ErrProviderBusy, l.grant.Provider, st.Text)
	}
	return "", fmt.Errorf("greeting is not IMAP: %q", Quotable(line))
}

func (l *imapLogin) secure(offered string) error {
	if offered != "" && !imapsyntax.HasWord(offered, "STARTTLS") {
		return errors.New("STARTTLS is not among its capabilities: no login without TLS")
	}
	st, err := l.command("A0 STARTTLS")
	if err != nil {
		return err
	}
	if st.Kind != "OK" {
		return fmt.Errorf("STARTTLS refused: no login without TLS: %q", Quotable(st.Rest))
	}
	return l.startTLS()
}

// logIn sends AUTHENTICATE and the token. Without SASL-IR (RFC 4959; Yandex lacks
// it) the token waits for the continuation request.
func (l *imapLogin) logIn(offered string) error {
	const tag = "A1"
	limit := 0
	if l.grant.Provider.IMAPInitialResponse || imapsyntax.HasWord(offered, "SASL-IR") {
		limit = math.MaxInt
	}
	var st imapsyntax.Status
	lines := 0
	err := l.authenticate(tag+" AUTHENTICATE "+l.grant.Provider.Mechanism, limit, func() (string, bool, error) {
		for ; lines < maxLines; lines++ {
			line, err := l.conn.ReadLine(maxLine)
			if err != nil {
				return "", false, err
			}
			if text, ok := continuation(line); ok {
				lines++
				return text, true, nil
			}
			if rest, ok := strings.CutPrefix(line, tag+" "); ok {
				st = imapsyntax.ParseStatus(rest)
				return "", false, nil
			}
			if err := l.untagged(line); err != nil {
				return "", false, err
			}
		}
		return "", false, errors.New("too many lines in answer to AUTHENTICATE")
	})
	switch {
	case err != nil:
		return err
	case st.Kind != "OK":
		aboutToken := l.sent && st.Kind == "NO" || l.challenge != ""
		return l.refused(imapRefusal(l.grant.Provider, st, aboutToken))
	case !l.sent:
		return errUnasked
	}
	l.session.Accepted = st.Rest
	if st.Code == "CAPABILITY" {
		l.session.Capabilities, l.session.Accepted = st.Arg, st.Text
	}
	return nil
}

// continuation reads a continuation request; Exchange sends a bare "+".
func continuation(line string) (text string, ok bool) {
	if line == "+" {
		return "", true
	}
	return strings.CutPrefix(line, "+ ")
}

// untagged takes an untagged response. Capabilities (Gmail and SmarterMail send
// them ahead of the tagged OK) are kept apart; the client gets the others, such
// as alerts.
func (l *imapLogin) untagged(line string) error {
	rest, ok := strings.CutPrefix(line, "* ")
	if !ok {
		return fmt.Errorf("not a line of IMAP: %q", Quotable(line))
	}
	if st := imapsyntax.ParseStatus(rest); st.Kind == "BYE" {
		return answered(ErrProviderBusy, l.grant.Provider, st.Text)
	}
	if word, list, _ := strings.Cut(rest, " "); strings.EqualFold(word, "CAPABILITY") {
		l.session.Capabilities = list
		return nil
	}
	l.session.Untagged = append(l.session.Untagged, line)
	return nil
}

// command sends a command and returns its tagged response.
func (l *imapLogin) command(line string) (imapsyntax.Status, error) {
	if err := l.conn.Say(line); err != nil {
		return imapsyntax.Status{}, err
	}
	tag, name, _ := strings.Cut(line, " ")
	for range maxLines {
		line, err := l.conn.ReadLine(maxLine)
		if err != nil {
			return imapsyntax.Status{}, err
		}
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			return imapsyntax.ParseStatus(rest), nil
		}
		if err := l.untagged(line); err != nil {
			return imapsyntax.Status{}, err
		}
	}
	return imapsyntax.Status{}, fmt.Errorf("too many lines in answer to %s", name)
}

// imapRefusal returns what a tagged NO or BAD means. If it is about the token and
// nothing explains it, the token counts as bad: Microsoft says no more than
// "AUTHENTICATE failed.", and renewing a cached token costs little. A BAD without a
// challenge means that the server did not understand the command: another token
// would not help.
func imapRefusal(p *oauth.Provider, st imapsyntax.Status, aboutToken bool) error {
	kind := ErrProviderRefused
	if aboutToken {
		kind = ErrTokenRefused
	}
	switch imap.ResponseCode(st.Code) {
	case imap.ResponseCodeUnavailable, imap.ResponseCodeLimit, imap.ResponseCodeInUse,
		imap.ResponseCodeServerBug, imap.ResponseCodeOverQuota:
		return answered(ErrProviderBusy, p, st.Text)
	case imap.ResponseCodeContactAdmin, imap.ResponseCodeNoPerm, imap.ResponseCodePrivacyRequired,
		imap.ResponseCodeCannot:
		kind = ErrProviderRefused
	}
	return answered(kindByText(st.Text, kind), p, st.Text)
}
