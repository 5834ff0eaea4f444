package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"authferry/proxy/relay"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// maxSMTPCommand is the longest command line, CRLF included, that RFC 5321
// §4.5.3.1.4 lets a client send. A longer response waits for the go-ahead (RFC
// 4954 §4): Gmail hangs up at about 1000 octets, which the padded tokens of
// service accounts pass (https://github.com/jstedfast/MailKit/issues/1343), and
// Postfix calls one beyond 2048 a bad token.
const maxSMTPCommand = 512

// smtpReply is one reply, however many lines it came in.
type smtpReply struct {
	code  int
	lines []string // without codes
}

func (r smtpReply) text() string { return strings.Join(r.lines, " ") }

// readReply reads one reply (RFC 5321 §4.2.1).
func readReply(p *relay.Conn) (smtpReply, error) {
	var r smtpReply
	for range maxProviderLines {
		line, err := p.ReadLine(maxProviderLine)
		if err != nil {
			return r, err
		}
		if len(line) < 3 {
			return r, fmt.Errorf("not a line of SMTP: %q", quotable(line))
		}
		code, err := strconv.ParseUint(line[:3], 10, 16)
		if err != nil || code < 200 || code > 599 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
			return r, fmt.Errorf("not a line of SMTP: %q", quotable(line))
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

func (d *smtpDialect) enter(s *session, p *relay.Conn, g *tokens.Grant) error {
	greeting, err := readReply(p)
	if err != nil {
		return err
	}
	if greeting.code != 220 {
		return providerSays(kindByText(greeting.text(), errProviderBusy), g.Provider, smtpWords(greeting))
	}
	e := d.endpoint(g.Provider)
	offered, err := d.ehlo(s, p, g)
	if err != nil {
		return err
	}
	if e.StartTLS {
		if !offered.lists("STARTTLS") {
			return errors.New("STARTTLS is not among its extensions: no login without TLS")
		}
		if r, err := command(p, "STARTTLS"); err != nil {
			return err
		} else if r.code != 220 {
			return fmt.Errorf("STARTTLS refused: no login without TLS: %d %q", r.code, quotable(r.text()))
		}
		if err := p.StartTLSClient(providerTLS(g.Provider, e)); err != nil {
			return tlsError(e, err)
		}
		if _, err := d.ehlo(s, p, g); err != nil {
			return err
		}
	}
	return d.enterBySASL(p, g)
}

func command(p *relay.Conn, line string) (smtpReply, error) {
	if err := p.Say(line); err != nil {
		return smtpReply{}, err
	}
	return readReply(p)
}

// ehlo introduces us by the client's own name, which ends up in the trace
// fields of its mails, or by ours if the provider does not like that one.
func (d *smtpDialect) ehlo(s *session, p *relay.Conn, g *tokens.Grant) (smtpReply, error) {
	ours := ourName(s.Hostname, p)
	name := ours
	if plausibleName(d.helo) {
		name = d.helo
	}
	r, err := command(p, "EHLO "+name)
	if err == nil && r.code >= 500 && name != ours {
		r, err = command(p, "EHLO "+ours)
	}
	if err == nil && r.code != 250 {
		err = smtpRefusal(g.Provider, r, errProviderRefused)
	}
	d.chunking = r.lists("CHUNKING")
	return r, err
}

func (r smtpReply) lists(extension string) bool {
	for _, line := range r.lines {
		if keyword, _, _ := strings.Cut(line, " "); strings.EqualFold(keyword, extension) {
			return true
		}
	}
	return false
}

// plausibleName tells whether an EHLO argument may be repeated: a host name, or
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

// ourName is our host name, or the address we connect from where it is none
// that a stranger could know.
func ourName(hostname string, p *relay.Conn) string {
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

// enterBySASL logs in. Mechanism names go out in upper case: Exchange has been
// seen to refuse others.
func (d *smtpDialect) enterBySASL(p *relay.Conn, g *tokens.Grant) error {
	line := "AUTH " + g.Provider.Mechanism
	credentials := g.Credentials(d.endpoint(g.Provider))
	response := encodeSASL(credentials.Response())
	inline := len(line+" "+response+"\r\n") <= maxSMTPCommand
	if inline {
		if err := p.SayCredential(line+" ", response); err != nil {
			return err
		}
	} else if err := p.Say(line); err != nil {
		return err
	}
	said, challenge := inline, ""
	for range maxProviderLines {
		r, err := readReply(p)
		switch {
		case err != nil:
		case r.code == 334 && !said:
			said = true
			err = p.SayCredential("", response)
		case r.code == 334:
			challenge = oauthChallenge(r.text())
			err = p.Say(encodeSASL(credentials.Answer()))
		default:
			return d.admitted(g, r, said, challenge)
		}
		if err != nil {
			return err
		}
	}
	return errors.New("too many challenges in answer to AUTH")
}

// admitted judges the answer to AUTH, with the token said or not yet.
func (d *smtpDialect) admitted(g *tokens.Grant, r smtpReply, said bool, challenge string) error {
	switch {
	case r.code == 235 && said:
		d.accepted = r.text()
		return nil
	case r.code == 235:
		return errUnasked
	case !said:
		return smtpRefusal(g.Provider, r, errProviderRefused)
	}
	return challenged(smtpRefusal(g.Provider, r, errTokenRefused), challenge)
}

// smtpRefusal tells what a refusal means. byCode is the kind of a plain 535,
// which stands for a bad token at Gmail and Microsoft. Postfix says the same
// when its own check of the token failed for the moment: that cannot be told
// apart, and costs one renewal.
func smtpRefusal(p *oauth.Provider, r smtpReply, byCode error) error {
	kind := kindByText(r.text(), byCode)
	switch {
	case r.code < 500:
		kind = errProviderBusy
	case r.code != 535 && kind == errTokenRefused:
		kind = errProviderRefused // 534: a person must sign in; 50x: it does not understand us
	}
	return providerSays(kind, p, smtpWords(r))
}

// smtpWords is a reply as people should see it: without the enhanced code on
// each of its lines, and first lines first.
func smtpWords(r smtpReply) string {
	var words []string
	for _, line := range r.lines {
		_, text := cutEnhanced(line)
		words = append(words, strings.TrimSpace(text))
	}
	return strings.Join(words, " ")
}

// cutEnhanced splits an enhanced status code (RFC 2034) off a line of a reply.
func cutEnhanced(line string) (code, text string) {
	code, text, _ = strings.Cut(line, " ")
	if len(code) < 5 || code[1] != '.' || strings.Trim(code, "0123456789.") != "" || strings.Count(code, ".") != 2 {
		return "", line
	}
	return code, text
}

func (d *smtpDialect) welcome(c *relay.Conn) error {
	if d.first != "" {
		return nil // the provider's answer to it is still to come
	}
	if code, _ := cutEnhanced(d.accepted); code == "" {
		d.accepted = "2.7.0 " + d.accepted // ENHANCEDSTATUSCODES was on offer
	}
	return c.Say("235 " + d.accepted)
}

// commonExtensions is what EHLO answers before a login: the account, hence the
// provider, is not known yet, so it can promise only what all of them have.
func commonExtensions(providers []*oauth.Provider) []string {
	if len(providers) == 0 {
		return nil
	}
	var common []string
	for _, line := range providers[0].SMTPExtensions {
		keyword, _, _ := strings.Cut(line, " ")
		everywhere := !strings.EqualFold(keyword, "AUTH") && !strings.EqualFold(keyword, "STARTTLS")
		for _, p := range providers[1:] {
			other, ok := findExtension(p.SMTPExtensions, keyword)
			everywhere = everywhere && ok
			if strings.EqualFold(keyword, "SIZE") {
				line = smallerSize(line, other)
			}
		}
		if everywhere {
			common = append(common, line)
		}
	}
	return common
}

func findExtension(list []string, keyword string) (line string, ok bool) {
	for _, line := range list {
		if k, _, _ := strings.Cut(line, " "); strings.EqualFold(k, keyword) {
			return line, true
		}
	}
	return "", false
}

// smallerSize compares two lines of SIZE. None, or 0, means no fixed limit (RFC
// 1870 §3).
func smallerSize(a, b string) string {
	size := func(line string) uint64 {
		_, n, _ := strings.Cut(line, " ")
		v, _ := strconv.ParseUint(n, 10, 63)
		return v - 1 // no limit wraps to the greatest
	}
	if size(b) < size(a) {
		return b
	}
	return a
}
