package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"authferry/proxy/gate"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// Security is how TLS starts on a listener.
type Security int

const (
	Plain    Security = iota // no TLS
	StartTLS                 // STARTTLS or STLS offered, and required before a login
	Implicit                 // TLS from the first byte
	Either                   // Implicit or StartTLS, as the client begins
)

// Limits bound what one connection may cost. Zero fields take the defaults.
type Limits struct {
	Login         time.Duration // from accept to a login that succeeds; default 3 minutes
	Command       time.Duration // between two lines of a client before login; default 1 minute
	ProviderLogin time.Duration // from dialling a provider to being logged in; default 30 s
	Stall         time.Duration // how long a peer may take none of the bytes meant for it; default 10 minutes
	Hello         time.Duration // how long a client of Either has to begin TLS before it is greeted without; default 500 ms
	Sweep         time.Duration // between two looks for sessions whose password has been revoked; default 5 s
}

func (l Limits) withDefaults() Limits {
	l.Login = cmp.Or(l.Login, 3*time.Minute)
	l.Command = cmp.Or(l.Command, time.Minute)
	l.ProviderLogin = cmp.Or(l.ProviderLogin, 30*time.Second)
	l.Stall = cmp.Or(l.Stall, 10*time.Minute)
	l.Hello = cmp.Or(l.Hello, 500*time.Millisecond)
	l.Sweep = cmp.Or(l.Sweep, 5*time.Second)
	return l
}

// Server accepts mail programs of one protocol on any number of listeners.
// Fill in its fields before the first call of Serve, and leave them alone after.
type Server struct {
	Protocol string // "imap", "pop3" or "smtp"
	Security Security
	Hostname string      // how it names itself in greetings
	TLS      *tls.Config // for all but Plain
	// Allow lists the networks that may connect here, beside what Gate says;
	// empty: all. Loopback always may.
	Allow []netip.Prefix
	// ProxyFrom lists the networks of load balancers: what they bring begins
	// with a PROXY header, which says where the client really is.
	ProxyFrom []netip.Prefix
	Vault     *tokens.Vault
	Providers func() []*oauth.Provider // for the SMTP extensions to offer before login
	Gate      *gate.Gate
	Metrics   *Metrics
	Limits    Limits
	Log       *zap.Logger
	// Attempts, if there is one, is told of every login that is tried, from many
	// goroutines at once. A login waits for it: it must not wait for anything.
	Attempts func(Attempt)

	prepared  sync.Once
	ctx       context.Context // done when sessions are to be cut
	cut       context.CancelFunc
	mu        sync.Mutex
	stopping  bool
	listeners map[net.Listener]struct{}
	live      map[*session]struct{}
	gone      chan struct{} // holds one: a session has ended lately
}

// prepare makes what the first Serve or Shutdown needs.
func (s *Server) prepare() {
	s.prepared.Do(func() {
		s.Limits = s.Limits.withDefaults()
		if s.TLS != nil {
			s.TLS = s.TLS.Clone()
			s.TLS.DynamicRecordSizingDisabled = true // see tlsRecord
		}
		if s.Metrics == nil {
			s.Metrics = new(Metrics)
		}
		if s.Gate == nil {
			s.Gate = gate.New(gate.Limits{})
		}
		s.ctx, s.cut = context.WithCancel(context.Background())
		s.listeners = make(map[net.Listener]struct{})
		s.live = make(map[*session]struct{})
		s.gone = make(chan struct{}, 1)
		go s.sweep()
	})
}

// ErrServerClosed is what Serve returns after Shutdown.
var ErrServerClosed = errors.New("proxy: the server has been shut down")

// Serve accepts until the listener is closed or Shutdown is called.
func (s *Server) Serve(ln net.Listener) error {
	s.prepare()
	if !s.add(ln) {
		ln.Close()
		return ErrServerClosed
	}
	defer s.remove(ln)
	var pause time.Duration
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			s.admit(conn)
		case s.isStopping():
			return ErrServerClosed
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			// Out of descriptors or memory, or a connection that broke before it
			// was accepted (accept(2) says to try again): sessions that end make
			// room, and nothing is gained by giving up.
			if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
				s.Gate.Evict()
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.Log.Warn("accepting a connection failed", zap.String("protocol", s.Protocol),
				zap.Duration("again in", pause), zap.Error(err))
			s.sleep(pause)
		}
	}
}

func (s *Server) add(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.listeners[ln] = struct{}{}
	return true
}

func (s *Server) remove(ln net.Listener) {
	ln.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, ln)
}

func (s *Server) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

// sleep waits, or less if the server is cut.
func (s *Server) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ctx.Done():
	}
}
