package proxy

import (
	"context"
	"errors"
	"fmt"

	"authferry/internal/printable"
	"authferry/proxy/filter"
	"authferry/proxy/gate"
	"authferry/tokens"
)

var errTrustNeedsTLS = errors.New("the client is in a network of [[gate.trusted]] and tried to send mail without logging in and without TLS: " +
	"switch TLS on in it, or set without_tls there")

// trusts tells whether the client may send without logging in, and for whom.
// Otherwise why is for the log.
func (s *session) trusts() (t *gate.Trusted, why error) {
	switch t = s.Gate.Trusted(s.from().Addr()); {
	case t == nil:
		return nil, errNoLoginAtAll
	case s.client.Secure, !s.needsTLS() && (t.WithoutTLS || s.from().Addr().IsLoopback()):
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
		return s.answer(filter.NoMail) // sent along with a MAIL that was refused, perhaps
	}
	if _, ok := filter.MailFrom(line, t.Trust.Mailbox); !ok {
		return s.protest(filter.BadMailFrom)
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
		words := filter.TooManyMessages(filter.NetworkWords, g.Password.MessagesPerHour, again)
		return nil, &publicError{cause: fmt.Errorf("%w: %s", gate.ErrTooMany, words), words: words}
	}
	place.End(false) // the relay takes it, when it hears MAIL
	return g, nil
}
