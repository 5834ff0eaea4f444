package proxy

import (
	"crypto/tls"
	"net/netip"
	"time"

	"authferry/internal/printable"
	"authferry/internal/protocol"
	"authferry/proxy/relay"
)

// Attempt is a login that a mail program tried, or a connection that was refused
// before it could try.
type Attempt struct {
	At       time.Time
	Protocol protocol.Protocol
	Client   netip.AddrPort
	TLS      string // version with the mail program; empty: none
	// User is the name it gave. If that is neither an address nor an alias, it is
	// only the first letters: it may be a password.
	User     string
	Mailbox  string // the address that the name stands for, if any
	Password string // the name of the local password; empty unless it was right
	Program  string // the name that the program gave itself, if any
	// Result is AttemptOK, AttemptTurnedAway, or a row of the table of refusals.
	Result string
	Cause  string // for people; may contain words of a peer, so quote it
}

// The results of an [Attempt] that are not a row of the table of refusals.
const (
	AttemptOK         = "ok"
	AttemptTurnedAway = "turned away"
)

// maxCause bounds the cause of an [Attempt].
const maxCause = 300

func causeOf(err error) string {
	if err == nil {
		return ""
	}
	return printable.Cut(err.Error(), maxCause)
}

// tlsVersion returns the version of TLS on a connection, or "".
func tlsVersion(c *relay.Conn) string {
	if t, ok := c.Conn.(*tls.Conn); ok {
		return tls.VersionName(t.ConnectionState().Version)
	}
	return ""
}

// outcome says which side ended a session.
func outcome(e relay.Ending) string {
	if e.Side == "authferry" {
		return "ended by authferry"
	}
	return "ended by the " + e.Side
}
