package proxy

import (
	"crypto/tls"
	"net/netip"
	"time"

	"authferry/internal/printable"
)

// Attempt is a login that a mail program tried, or a connection that was turned
// away before it could try.
type Attempt struct {
	At       time.Time
	Protocol string
	Client   netip.AddrPort
	TLS      string // version with the mail program; empty: none
	// User is the name it gave, as far as it may be shown: of what is neither an
	// address nor an alias, the first letters only.
	User     string
	Mailbox  string // the address that the name stands for, if it stands for one
	Password string // the name of the local password; empty unless it was right
	Program  string // how the program named itself, if it did
	// Result is AttemptOK, AttemptTurnedAway, or the row of the table of refusals.
	Result string
	Cause  string // for people; may be words of a peer, so quote it
}

// The results of an [Attempt] that are no row of the table of refusals.
const (
	AttemptOK         = "ok"
	AttemptTurnedAway = "turned away"
)

// maxCause bounds the cause of an [Attempt].
const maxCause = 300

// attempted tells about the login under way. cause is nil if it succeeded.
func (s *session) attempted(result string, cause error) {
	if s.Attempts == nil {
		return
	}
	a := Attempt{
		At: time.Now(), Protocol: s.Protocol, Client: s.from(), TLS: s.tlsVersion(),
		Program: printable.ASCII(s.login.Client, maxClientName), Result: result, Cause: causeOf(cause),
	}
	if s.login.User != "" {
		a.User = s.loggable(s.login.User)
		if mailbox, _ := s.Vault.Canonical(s.login.User); s.known(s.login.User) {
			a.Mailbox = quotable(mailbox)
		}
	}
	if g := s.grant; g != nil {
		a.Mailbox, a.Password = g.Mailbox, g.PasswordName
	}
	s.Attempts(a)
}

// turnedAway tells about a connection that may not even try.
func (s *Server) turnedAway(from netip.AddrPort, cause error) {
	if s.Attempts != nil {
		s.Attempts(Attempt{At: time.Now(), Protocol: s.Protocol, Client: from, Result: AttemptTurnedAway, Cause: causeOf(cause)})
	}
}

func causeOf(err error) string {
	if err == nil {
		return ""
	}
	return printable.Cut(err.Error(), maxCause)
}

// tlsVersion is the version of TLS with the mail program, or empty.
func (s *session) tlsVersion() string {
	if t, ok := s.client.Conn.(*tls.Conn); ok {
		return tls.VersionName(t.ConnectionState().Version)
	}
	return ""
}
