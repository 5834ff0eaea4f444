package proxy

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"authferry/proxy/relay"
)

var (
	errShuttingDown = errors.New("authferry is shutting down")
	errRevoked      = errors.New("the password of this session has been revoked")
)

// Shutdown stops accepting and waits for sessions to end by themselves until
// ctx is done, then closes those that are left and returns the error of ctx.
// IMAP sessions that idle never end by themselves: they are told BYE as soon as
// they are quiet, so that their programs connect anew, while sessions at work
// get their time.
func (s *Server) Shutdown(ctx context.Context) error {
	s.prepare()
	s.mu.Lock()
	s.stopping = true
	for ln := range s.listeners {
		ln.Close()
	}
	s.mu.Unlock()
	defer s.cut()

	tick := time.NewTicker(relay.QuietAfter)
	defer tick.Stop()
	for {
		s.dismiss()
		if s.idle() {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.gone:
		case <-ctx.Done():
			return s.cutAll(ctx.Err())
		}
	}
}

// dismiss tells the IMAP sessions that are quiet that they are over.
func (s *Server) dismiss() {
	if s.Protocol != "imap" {
		return
	}
	for _, x := range s.sessions() {
		x.hangUp(errShuttingDown, func(c *relay.Conn) error {
			return new(imapDialect).farewell(c, "authferry is shutting down")
		})
	}
}

// cutAll closes every session and waits for their goroutines.
func (s *Server) cutAll(why error) error {
	s.cut()
	for _, x := range s.sessions() {
		x.hangUp(errShuttingDown, nil)
		x.client.Wire.Close() // before login there is nothing to hang up
	}
	for !s.idle() {
		<-s.gone
	}
	return why
}

func (s *Server) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.live) == 0
}

// sessions lists the live sessions.
func (s *Server) sessions() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*session, 0, len(s.live))
	for x := range s.live {
		all = append(all, x)
	}
	return all
}

// hangUp ends a session from outside; see relaying.hangUp. Before login it does nothing.
func (s *session) hangUp(why error, say func(*relay.Conn) error) {
	if r := s.flowing(); r != nil {
		r.HangUp(why, say)
	}
}

// flowing returns the relay of a session, or nil before login.
func (s *session) flowing() *relay.Relay {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.relay
}

// sweep ends sessions whose password has been revoked, keeps the metrics of
// long sessions up to date, and looks after the heap, until the server is cut.
func (s *Server) sweep() {
	tick := time.NewTicker(s.Limits.Sweep)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.sweepOnce()
			heap.tidy()
		case <-s.ctx.Done():
			return
		}
	}
}

// sweepOnce asks the vault once for each password, not for each session.
func (s *Server) sweepOnce() {
	type key struct{ mailbox, password string }
	revoked := make(map[key]bool)
	for _, x := range s.sessions() {
		if x.flowing() == nil {
			continue
		}
		x.count()
		k := key{x.grant.Mailbox, x.grant.PasswordID}
		gone, asked := revoked[k]
		if !asked {
			gone = s.Vault.Revoked(s.ctx, x.grant)
			revoked[k] = gone
		}
		if gone {
			s.Log.Info("ending a session", append(x.fields(), zap.Error(errRevoked))...)
			x.hangUp(errRevoked, nil)
		}
	}
}
