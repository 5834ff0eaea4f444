package upstream

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"authferry/proxy/relay"
	"authferry/tokens/oauth"
)

// maxSMTPCommand is the longest command line, CRLF included, that RFC 5321
// §4.5.3.1.4 allows a client to send. A longer response waits until the provider
// asks for it (RFC 4954 §4): Gmail hangs up at about 1000 octets, which the padded
// tokens of service accounts exceed
// (https://github.com/jstedfast/MailKit/issues/1343), and Postfix calls a response
// beyond 2048 a bad token.
const maxSMTPCommand = 512

// smtpLogin is a login over SMTP (RFC 5321, RFC 4954).
type smtpLogin struct {
	attempt
	hostname string // of this host
	client   string // the client's argument of EHLO
}

func (l *smtpLogin) run() error {
	greeting, err := readReply(l.conn)
	if err != nil {
		return err
	}
	if greeting.code != 220 {
		return answered(kindByText(greeting.text(), ErrProviderBusy), l.grant.Provider, greeting.words())
	}
	offered, err := l.ehlo()
	if err != nil {
		return err
	}
	if l.endpoint.StartTLS {
		if err := l.secure(offered); err != nil {
			return err
		}
		if _, err := l.ehlo(); err != nil {
			return err
		}
	}
	return l.logIn()
}

func (l *smtpLogin) secure(offered smtpReply) error {
	if !offered.lists("STARTTLS") {
		return errors.New("STARTTLS is not among its extensions: no login without TLS")
	}
	r, err := l.command("STARTTLS")
	if err != nil {
		return err
	}
	if r.code != 220 {
		return fmt.Errorf("STARTTLS refused: no login without TLS: %d %q", r.code, Quotable(r.text()))
	}
	return l.startTLS()
}

func (l *smtpLogin) command(line string) (smtpReply, error) {
	if err := l.conn.Say(line); err != nil {
		return smtpReply{}, err
	}
	return readReply(l.conn)
}

// ehlo sends EHLO with the client's own name, or with ours if the provider refuses
// that one.
func (l *smtpLogin) ehlo() (smtpReply, error) {
	ours := hostName(l.hostname, l.conn)
	name := ours
	if plausibleName(l.client) {
		name = l.client
	}
	r, err := l.command("EHLO " + name)
	if err == nil && r.code >= 500 && name != ours {
		r, err = l.command("EHLO " + ours)
	}
	if err == nil && r.code != 250 {
		err = smtpRefusal(l.grant.Provider, r, ErrProviderRefused)
	}
	l.session.Chunking = r.lists("CHUNKING")
	return r, err
}

// logIn sends AUTH and the token. The mechanism is in upper case: Exchange has
// been seen to refuse others.
func (l *smtpLogin) logIn() error {
	var r smtpReply
	err := l.authenticate("AUTH "+l.grant.Provider.Mechanism, maxSMTPCommand, func() (_ string, _ bool, err error) {
		r, err = readReply(l.conn)
		if err != nil || r.code != 334 {
			return "", false, err
		}
		return r.text(), true, nil
	})
	switch {
	case err != nil:
		return err
	case r.code == 235 && l.sent:
		l.session.Accepted = r.text()
		if code, _ := cutEnhanced(l.session.Accepted); code == "" {
			l.session.Accepted = "2.7.0 " + l.session.Accepted // the client was offered ENHANCEDSTATUSCODES
		}
		return nil
	case r.code == 235:
		return errUnasked
	case !l.sent:
		return smtpRefusal(l.grant.Provider, r, ErrProviderRefused)
	}
	return l.refused(smtpRefusal(l.grant.Provider, r, ErrTokenRefused))
}

// smtpReply is one reply, on any number of lines.
type smtpReply struct {
	code  int
	lines []string // without codes
}

func (r smtpReply) text() string { return strings.Join(r.lines, " ") }

// words returns a reply as people should see it: without the enhanced code on
// each of its lines.
func (r smtpReply) words() string {
	var words []string
	for _, line := range r.lines {
		_, text := cutEnhanced(line)
		words = append(words, strings.TrimSpace(text))
	}
	return strings.Join(words, " ")
}

// lists reports whether a reply to EHLO lists an extension.
func (r smtpReply) lists(extension string) bool {
	for _, line := range r.lines {
		if keyword, _, _ := strings.Cut(line, " "); strings.EqualFold(keyword, extension) {
			return true
		}
	}
	return false
}

// readReply reads one reply (RFC 5321 §4.2.1).
func readReply(p *relay.Conn) (smtpReply, error) {
	var r smtpReply
	for range maxLines {
		line, err := p.ReadLine(maxLine)
		if err != nil {
			return r, err
		}
		if len(line) < 3 {
			return r, fmt.Errorf("not a line of SMTP: %q", Quotable(line))
		}
		code, err := strconv.ParseUint(line[:3], 10, 16)
		if err != nil || code < 200 || code > 599 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
			return r, fmt.Errorf("not a line of SMTP: %q", Quotable(line))
		}
		r.code = int(code)
		if len(line) <= 4 {
			r.lines = append(r.lines, "")
		} else {
			r.lines = append(r.lines, line[4:])
		}
		if len(line) == 3 || line[3] == ' ' {
			return r, nil
		}
	}
	return r, errors.New("too many lines in one reply")
}

// cutEnhanced splits an enhanced status code (RFC 2034) off a line of a reply.
func cutEnhanced(line string) (code, text string) {
	code, text, _ = strings.Cut(line, " ")
	if len(code) < 5 || code[1] != '.' || strings.Trim(code, "0123456789.") != "" || strings.Count(code, ".") != 2 {
		return "", line
	}
	return code, text
}

// plausibleName reports whether an EHLO argument may be repeated: a host name, or
// an address literal (RFC 5321 §4.1.3).
func plausibleName(s string) bool {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		if len(inner) > 5 && strings.EqualFold(inner[:5], "IPv6:") {
			inner = inner[5:]
		}
		_, err := netip.ParseAddr(inner)
		return ok && err == nil
	}
	if s == "" || len(s) > 255 || s[0] == '.' || s[0] == '-' {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r == '_')
	}) < 0
}

// hostName returns the name of this host for EHLO, or the address it connects
// from if its name is not one that others could look up.
func hostName(hostname string, p *relay.Conn) string {
	if strings.Contains(hostname, ".") && plausibleName(hostname) {
		return hostname
	}
	if a, ok := p.LocalAddr().(*net.TCPAddr); ok {
		if ip := a.AddrPort().Addr().Unmap().WithZone(""); ip.Is4() {
			return "[" + ip.String() + "]"
		} else if ip.IsValid() {
			return "[IPv6:" + ip.String() + "]"
		}
	}
	return "[127.0.0.1]"
}

// smtpRefusal returns what a refusal means. byCode is the kind of a plain 535,
// which stands for a bad token at Gmail and Microsoft. Postfix says the same when
// its own check of the token failed for the moment: the two cannot be told apart,
// and this costs one renewal.
func smtpRefusal(p *oauth.Provider, r smtpReply, byCode error) error {
	kind := kindByText(r.text(), byCode)
	switch {
	case r.code < 500:
		kind = ErrProviderBusy
	case r.code != 535 && kind == ErrTokenRefused:
		kind = ErrProviderRefused // 534: a person must sign in; 50x: it does not understand the command
	}
	return answered(kind, p, r.words())
}
