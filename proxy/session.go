package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"authferry/internal/secret"
	"authferry/proxy/gate"
	"authferry/proxy/relay"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// dialect is one mail protocol as a proxy sees it. A value serves one session
// and remembers what its later steps need (an IMAP tag, the EHLO argument).
type dialect interface {
	greet(*session) error                             // say hello to the client
	hear(*session) (tokens.Login, error)              // talk to the client up to its login
	enter(*session, *relay.Conn, *tokens.Grant) error // log in to the provider, from its greeting on
	welcome(*relay.Conn) error                        // tell the client it is in
	refuse(*relay.Conn, refusal) error                // tell the client why not
	farewell(*relay.Conn, string) error               // tell the client that we hang up, before or after login
	endpoint(*oauth.Provider) oauth.Endpoint          // where this protocol lives at a provider
}

const (
	// maxLogins is how many logins a client may try on one connection.
	maxLogins = 3
	// maxNonsense is how many commands may make no sense before a login: what
	// goes on like that is no mail program (https://alpaca-attack.com).
	maxNonsense = 10
	// maxClientName is how much of the name that a program gives itself is kept.
	maxClientName = 64
)

// session is one connection of a mail program.
type session struct {
	*Server
	id      int64
	dialect dialect
	client  *relay.Conn
	doing   string // the step under way, in words that follow "while"
	login   tokens.Login
	trust   *gate.Trusted // what stands for a password, if nothing else does
	grant   *tokens.Grant // nil until authorized

	provider *relay.Conn  // nil until the client is in
	relay    *relay.Relay // nil until bytes flow; guarded by Server.mu
	asked    time.Time    // when the login had been heard
	started  time.Time
	counted  struct{ sent, received atomic.Int64 } // what Metrics know of
	peer     netip.AddrPort
	seat     *gate.Slot  // its place at the gate
	crowded  atomic.Bool // that place was needed for somebody else
	judged   func()      // ends its turn at having a password judged; nil: it has none
	balanced bool        // it comes by way of a load balancer, and begins with a PROXY header

	spoken   bool // the client has sent something
	nonsense int  // commands that made no sense so far
}

var (
	// errClientLeft says that the client ended the conversation properly
	// (LOGOUT, QUIT, or closing between commands) before any login succeeded.
	errClientLeft = errors.New("the client left")
	// errNoLogin says that a command has been answered and the next one is due.
	errNoLogin  = errors.New("not a login")
	errNonsense = errors.New("not a mail program: too many commands that make no sense")
)

// run is the program: hear a login, authorize it, dial and enter the provider,
// welcome the client. What is left to do then is to relay between s.client and
// s.provider, which carry does once run has returned. The error is why the
// session ended before that.
func (s *session) run(ctx context.Context) error {
	s.client.SetTrace(s.tracer("to client"), nil)
	s.doing = "greeting the client"
	if err := s.dialect.greet(s); err != nil {
		return err
	}
	for range maxLogins {
		s.doing = "waiting for a login"
		login, err := s.dialect.hear(s)
		s.asked = time.Now()
		if err != nil && !isAboutLogin(err) {
			return s.giveUp(err)
		}
		s.login, s.grant = login, nil
		var provider *relay.Conn
		if err == nil {
			provider, err = s.open(ctx)
		}
		if err != nil {
			if err := s.turnAway(ctx, err); err != nil {
				return err
			}
			continue
		}
		s.doing = "welcoming the client"
		if err := s.dialect.welcome(s.client); err != nil {
			provider.Close()
			return err
		}
		s.provider = provider
		return nil
	}
	s.doing = "ending the session after too many logins that failed"
	return s.dialect.farewell(s.client, "too many logins failed on this connection")
}

// open turns a login into a provider connection that is logged in.
func (s *session) open(ctx context.Context) (*relay.Conn, error) {
	grant, err := s.authorize(ctx)
	if err != nil {
		return nil, err
	}
	s.grant = grant
	s.seat.LoggedIn() // nearly: it may stay
	provider, err := s.enter(ctx, grant)
	if errors.Is(err, errTokenRefused) && !grant.Minted {
		s.doing = "renewing a token that the provider refused"
		if grant, err = s.Vault.Renew(ctx, grant); err != nil {
			return nil, err
		}
		s.grant = grant
		provider, err = s.enter(ctx, grant)
	}
	if errors.Is(err, errTokenRefused) {
		s.Vault.Refused(grant)
	}
	return provider, err
}

// enter makes one attempt at logging in to the provider, on a connection of its own.
func (s *session) enter(ctx context.Context, g *tokens.Grant) (*relay.Conn, error) {
	e := s.dialect.endpoint(g.Provider)
	if e.Host == "" {
		return nil, &publicError{
			cause: fmt.Errorf("%w: %s has no %s server", errProviderRefused, g.Provider.Name, s.Protocol),
			words: g.Provider.Name + " has no " + strings.ToUpper(s.Protocol) + " server in the configuration of authferry",
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.Limits.ProviderLogin)
	defer cancel()
	s.doing = "connecting to the provider"
	provider, err := dial(ctx, g.Provider, e)
	if err != nil {
		return nil, err
	}
	provider.SetTrace(s.tracer("to provider"), s.tracer("from provider"))
	// Reads and writes do not know of ctx: a deadline in the past ends them. It
	// is set on the wire, since TLS may be put on top of it meanwhile.
	stop := context.AfterFunc(ctx, func() { provider.Wire.SetDeadline(time.Unix(1, 0)) })
	s.doing = "logging in to the provider"
	err = s.dialect.enter(s, provider, g)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		return provider, nil
	}
	provider.Close()
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		err = errShuttingDown
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("the provider closed the connection: %w", err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("the provider did not answer in time: %w", err)
	}
	return nil, err
}

// turnAway answers a login that failed. The delay before a refusal for a bad
// password grows with the failures of its address and is the same whatever was
// wrong with the login.
func (s *session) turnAway(ctx context.Context, cause error) error {
	r := refusalFor(cause)
	if r.row == rowBadLogin {
		if err := s.penalize(ctx); errors.Is(err, gate.ErrTooMany) {
			r = refusalFor(err)
		} else if err != nil {
			return err
		}
	}
	s.logRefused(r, cause)
	s.Metrics.of(s.Protocol).refused[r.row].Add(1)
	s.doing = "refusing a login"
	return s.dialect.refuse(s.client, r)
}

// giveUp ends a conversation that came to no login. Whoever is merely slow is
// told so.
func (s *session) giveUp(why error) error {
	switch {
	case errors.Is(why, os.ErrDeadlineExceeded):
		s.dialect.farewell(s.client, "no login in time")
	case errors.Is(why, errStranger):
		s.dialect.farewell(s.client, "this port speaks "+strings.ToUpper(s.Protocol))
	case errors.Is(why, errNonsense):
		s.dialect.farewell(s.client, "too many commands that make no sense here")
	}
	return why
}

// isAboutLogin tells an error about a login, which is refused by the table,
// from one that ends the conversation.
func isAboutLogin(err error) bool {
	return errors.Is(err, errNeedsTLS) || errors.Is(err, tokens.ErrBadLogin)
}

// needsTLS tells whether the client has to start TLS before it may log in.
func (s *session) needsTLS() bool { return s.offersTLS() && !s.client.Secure }

// offersTLS tells whether a client may start TLS on this listener by a command.
func (s *session) offersTLS() bool { return s.Security == StartTLS || s.Security == Either }

// readLine reads a line of the client. The first thing it sends may be a TLS
// handshake, which has no line end to wait for, or not be mail at all.
func (s *session) readLine(limit int) (line string, err error) {
	var hello bool
	first := !s.spoken
	s.spoken = true
	if first && !s.client.Secure {
		hello, err = s.client.StartsTLS()
	}
	if err == nil && !hello {
		line, err = s.client.ReadLine(limit)
	}
	switch {
	case hello && s.Security == Either:
		err = errLateHello
	case hello:
		err = relay.ErrTLSHello
	case err == nil && first:
		s.seat.Spoke()
		err = s.stranger(line)
	case err == io.EOF:
		err = errClientLeft
	}
	return line, err
}

// loginBy completes what a dialect has heard.
func (s *session) loginBy(user string, password secret.String, client string) tokens.Login {
	return tokens.Login{User: user, Password: password, Protocol: s.Protocol, From: s.from().Addr(), Client: client}
}

// answer answers a command that is no login.
func (s *session) answer(lines ...string) (tokens.Login, error) {
	if err := s.client.Say(lines...); err != nil {
		return tokens.Login{}, err
	}
	return tokens.Login{}, errNoLogin
}

// protest answers a command that makes no sense.
func (s *session) protest(lines ...string) (tokens.Login, error) {
	if s.nonsense++; s.nonsense > maxNonsense {
		return tokens.Login{}, errNonsense
	}
	return s.answer(lines...)
}

// upgrade answers STARTTLS or STLS and starts TLS. Commands sent ahead of the
// handshake came in the clear, from anybody: they end the session.
func (s *session) upgrade(refuse, proceed string) (tokens.Login, error) {
	s.doing = "starting TLS with the client"
	if s.client.Early() {
		s.client.Say(refuse)
		return tokens.Login{}, relay.ErrEarlyBytes
	}
	if err := s.client.Say(proceed); err != nil {
		return tokens.Login{}, err
	}
	if err := s.client.StartTLSServer(s.TLS); err != nil {
		return tokens.Login{}, fmt.Errorf("TLS handshake with the mail program: %w", err)
	}
	s.doing = "waiting for a login"
	return tokens.Login{}, errNoLogin
}
