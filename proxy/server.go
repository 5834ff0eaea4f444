package proxy

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"go.uber.org/zap"

	"authferry/tokens"
)

// Security is how TLS starts on a listener.
type Security int

const (
	Plain    Security = iota // no TLS
	StartTLS                 // STARTTLS or STLS offered, and required before a login
	Implicit                 // TLS from the first byte
)

// Limits bound what one connection may cost. Zero fields take the defaults.
type Limits struct {
	Login         time.Duration // from accept to a login that succeeds
	Command       time.Duration // between two lines of a client before login
	ProviderLogin time.Duration // from dialling a provider to being logged in
	Stall         time.Duration // how long a peer may take none of the bytes meant for it
}

// Server accepts mail programs of one protocol on any number of listeners.
type Server struct {
	Protocol  string // "imap", "pop3" or "smtp"
	Security  Security
	Hostname  string      // how it names itself in greetings
	TLS       *tls.Config // for StartTLS and Implicit
	Vault     *tokens.Vault
	Providers func() []*tokens.Provider // for the SMTP extensions to offer before login
	Gate      *Gate
	Metrics   *Metrics
	Limits    Limits
	Log       *zap.Logger
}

// Serve accepts until the listener is closed or Shutdown is called.
func (s *Server) Serve(ln net.Listener) error { panic("unwritten") }

// Shutdown stops accepting, tells idle IMAP clients BYE, waits for sessions to
// end by themselves until ctx is done, then closes those that are left.
func (s *Server) Shutdown(ctx context.Context) error { panic("unwritten") }
