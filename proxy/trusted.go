package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"authferry/internal/printable"
	"authferry/tokens"
)

// Trusted lets devices send as a mailbox over SMTP that have no user name and
// password, or no place to type one: many scanners, printers and sensors. Their
// address is all that stands for them.
//
// The mailbox becomes the sender in the envelope (RFC 5321 §3.3), which Google
// and Microsoft would not take from anybody else. The message itself, with
// From: in it, stays as it is: see config.example.toml.
type Trusted struct {
	Networks []netip.Prefix
	Trust    tokens.Trust
	// WithoutTLS lets them do it in the clear off loopback.
	WithoutTLS bool
}

// trusted finds whom an address may act for without a password: the narrowest
// network that it is in decides.
func (g *Gate) trusted(from netip.Addr) *Trusted {
	g.mu.Lock()
	defer g.mu.Unlock()
	var found *Trusted
	narrowest := -1
	for i := range g.limits.Trusted {
		t := &g.limits.Trusted[i]
		for _, n := range t.Networks {
			if n.Contains(from.WithZone("")) && n.Bits() > narrowest {
				found, narrowest = t, n.Bits()
			}
		}
	}
	return found
}

var errTrustNeedsTLS = errors.New("the client is in a network of [[gate.trusted]] and tried to send mail without logging in and without TLS: " +
	"switch TLS on in it, or set without_tls there")

// trusts tells whether the client may send without logging in, and for whom.
// Otherwise why is for the log.
func (s *session) trusts() (t *Trusted, why error) {
	switch t = s.Gate.trusted(s.from().Addr()); {
	case t == nil:
		return nil, errNoLoginAtAll
	case s.client.secure, !s.needsTLS() && (t.WithoutTLS || s.from().Addr().IsLoopback()):
		return t, nil
	}
	return nil, errTrustNeedsTLS
}

// unasked hears a command of a mail transaction that no login has come before:
// MAIL from a trusted network stands for one.
func (d *smtpDialect) unasked(s *session, name, line string) (tokens.Login, error) {
	t, why := s.trusts()
	switch {
	case t == nil && s.needsTLS():
		d.mailed = why
		return s.protest("530 5.7.0 Must issue a STARTTLS command first")
	case t == nil:
		d.mailed = why
		return s.protest("530 5.7.0 Authentication required")
	case name != "MAIL":
		return s.answer(noMail) // sent along with a MAIL that was refused, perhaps
	}
	if _, ok := mailFrom(line, t.Trust.Mailbox); !ok {
		return s.protest(badMailFrom)
	}
	s.trust, d.first = t, line+"\r\n"
	return s.loginBy(t.Trust.Mailbox, "", printable.ASCII(d.helo, maxClientName)), nil
}

// authorizeTrusted is what stands in for a local password. What the hour has no
// place for is refused before the provider sees yet another login.
func (s *session) authorizeTrusted(ctx context.Context) (*tokens.Grant, error) {
	s.doing = "getting a token for a trusted network"
	g, err := s.Vault.AuthorizeTrusted(ctx, s.trust.Trust)
	if err != nil {
		return nil, err
	}
	place, again := s.Vault.BeginMessage(g)
	if place == nil {
		s.grant = g
		words := tooManyMessages(networkWords, g.Password.MessagesPerHour, again)
		return nil, &publicError{cause: fmt.Errorf("%w: %s", errTooMany, words), words: words}
	}
	place.End(false) // the relay takes it, when it hears MAIL
	return g, nil
}

// networkWords name a trusted network to the device in it.
const networkWords = "the network of this device"

const badMailFrom = "501 5.5.4 write MAIL FROM:<address>"

// mailFrom is a MAIL command with another sender, its parameters kept. Devices
// write the path with spaces before it and without its brackets. It is not ok
// if where the path ends is not certain.
func mailFrom(line, sender string) (mapped string, ok bool) {
	verb, path, _ := strings.Cut(line, " ")
	path = strings.TrimLeft(path, " ")
	if !strings.EqualFold(verb, "MAIL") || len(path) < len("FROM:") || !strings.EqualFold(path[:len("FROM:")], "FROM:") || misread(line) {
		return "", false
	}
	path = strings.TrimLeft(path[len("FROM:"):], " ")
	end := strings.IndexByte(path, ' ')
	if strings.HasPrefix(path, "<") {
		if end = pathEnd(path); end < 0 {
			return "", false
		}
	}
	params := ""
	if end >= 0 {
		params = path[end:]
	}
	if params != "" && params[0] != ' ' || strings.ContainsAny(params, "<>") {
		return "", false
	}
	if params = strings.Trim(params, " "); params != "" {
		params = " " + params
	}
	return "MAIL FROM:<" + sender + ">" + params, true
}

// pathEnd is where a path in brackets ends; -1 if it does not. A bracket within
// a quoted local part (RFC 5321 §4.1.2) is part of it.
func pathEnd(path string) int {
	quoted := false
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			return i + 1
		}
	}
	return -1
}
