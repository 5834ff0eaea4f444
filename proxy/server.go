package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"

	"authferry/internal/network"
	"authferry/internal/protocol"
	"authferry/proxy/gate"
	"authferry/proxy/relay"
	"authferry/proxy/upstream"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// Security says how TLS starts on a listener.
type Security int

const (
	Plain    Security = iota // no TLS
	StartTLS                 // STARTTLS or STLS offered, and required before a login
	Implicit                 // TLS from the first byte
	Either                   // Implicit or StartTLS, as the client chooses
)

// Limits bound what one connection may cost. Zero fields take the defaults.
type Limits struct {
	Login         time.Duration // from accept to a login that succeeds; default 3 minutes
	Command       time.Duration // between two lines of a client before login; default 1 minute
	ProviderLogin time.Duration // from dialling a provider to the end of the login; default 30 s
	Stall         time.Duration // how long a peer may accept no byte that is sent to it; default 10 minutes
	Hello         time.Duration // how long a client of Either has to begin TLS before it is greeted without TLS; default 500 ms
	Sweep         time.Duration // between two checks for sessions whose password has been revoked; default 5 s
}

func (l Limits) withDefaults() Limits {
	l.Login = cmp.Or(l.Login, 3*time.Minute)
	l.Command = cmp.Or(l.Command, time.Minute)
	l.ProviderLogin = cmp.Or(l.ProviderLogin, upstream.DefaultTimeout)
	l.Stall = cmp.Or(l.Stall, 10*time.Minute)
	l.Hello = cmp.Or(l.Hello, 500*time.Millisecond)
	l.Sweep = cmp.Or(l.Sweep, 5*time.Second)
	return l
}

// Server accepts mail programs of one protocol on any number of listeners.
// Set its fields before the first call of Serve, and do not change them afterwards.
type Server struct {
	Protocol protocol.Protocol
	Security Security
	Hostname string      // its name in greetings
	TLS      *tls.Config // for every Security but Plain
	// Allow lists the networks that may connect here, in addition to what Gate
	// says; empty: all. Loopback may always connect.
	Allow []netip.Prefix
	// ProxyFrom lists the networks of load balancers: their connections begin with
	// a PROXY header, which names the address of the client.
	ProxyFrom []netip.Prefix
	Vault     *tokens.Vault
	Providers func() []*oauth.Provider // for the SMTP extensions to offer before login
	Gate      *gate.Gate
	Metrics   *Metrics
	Limits    Limits
	Log       *zap.Logger
	// Attempts, unless nil, is called for every login that is tried, by many
	// goroutines at once. A login waits for it, so it must not block.
	Attempts func(Attempt)

	prepared  sync.Once
	ctx       context.Context // done when sessions are to be closed
	cut       context.CancelFunc
	mu        sync.Mutex
	stopping  bool
	listeners map[net.Listener]struct{}
	live      map[*session]struct{}
	gone      chan struct{} // holds one signal: a session has ended
}

// prepare sets up what the first call of any method needs.
func (s *Server) prepare() {
	s.prepared.Do(func() {
		s.Limits = s.Limits.withDefaults()
		if s.TLS != nil {
			s.TLS = s.TLS.Clone()
			s.TLS.DynamicRecordSizingDisabled = true // see relay's tlsRecord
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

var (
	errShuttingDown = errors.New("authferry is shutting down")
	errRevoked      = errors.New("the password of this session has been revoked")
)

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
			// room, so go on.
			if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
				s.Gate.Evict()
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.Log.Warn("accepting a connection failed", zap.String("protocol", string(s.Protocol)),
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

// sleep waits for d, or until the sessions are cut.
func (s *Server) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ctx.Done():
	}
}

// admit starts a session on a connection, if the gate admits it.
func (s *Server) admit(conn net.Conn) {
	from := addrOf(conn.RemoteAddr())
	x := &session{Server: s, id: sessionIDs.Add(1), client: relay.NewConn(relay.NewWire(conn)), dialect: newDialect(s.Protocol), peer: from}
	x.balanced = network.Contains(s.ProxyFrom, from.Addr())
	if !x.balanced { // otherwise its header names the client first
		var err error
		if x.slot, err = s.askGate(from.Addr(), x.evict); err != nil {
			s.Metrics.turned.Add(1)
			s.attemptTurnedAway(from, err)
			s.Log.Info("connection refused", zap.String("protocol", string(s.Protocol)), zap.Stringer("client", from), zap.Error(err))
			s.sayNo(conn, refusalFor(err).words)
			x.client.Release() // returns the buffer to its pool
			conn.Close()
			return
		}
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetKeepAliveConfig(upstream.KeepAlive)
	}
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		x.slot.Release()
		x.client.Release()
		conn.Close()
		return
	}
	s.live[x] = struct{}{}
	s.mu.Unlock()
	m := s.Metrics.of(s.Protocol)
	m.connections.Add(1)
	m.open.Add(1)
	go x.serve()
}

// errNotHere: the address is in none of the networks that may connect to this listener.
var errNotHere = errors.New("the address is not in allow of the [[listener]]")

// askGate asks the listener and the gate about a client.
func (s *Server) askGate(from netip.Addr, drop func()) (*gate.Slot, error) {
	if len(s.Allow) > 0 && !from.IsLoopback() && !network.Contains(s.Allow, from) {
		return nil, errNotHere
	}
	return s.Gate.Admit(from, drop)
}

// attemptTurnedAway records a connection that may not even try to log in.
func (s *Server) attemptTurnedAway(from netip.AddrPort, cause error) {
	if s.Attempts != nil {
		s.Attempts(Attempt{At: time.Now(), Protocol: s.Protocol, Client: from, Result: AttemptTurnedAway, Cause: causeOf(cause)})
	}
}

// sayNo tells a connection that is not served why, in the form of a greeting. A
// client that starts with TLS is not worth the handshake, and gets no answer.
func (s *Server) sayNo(conn net.Conn, words string) {
	if s.Security == Implicit || s.Security == Either {
		return
	}
	conn.SetWriteDeadline(time.Now().Add(time.Second))
	io.WriteString(conn, s.goodbye(words))
}

// goodbye returns a greeting that turns a client away: RFC 9051 §7.1.5, RFC 2449 §8.1.1,
// RFC 5321 §3.1.
func (s *Server) goodbye(words string) string {
	switch s.Protocol {
	case protocol.IMAP:
		return "* BYE " + words + "\r\n"
	case protocol.POP3:
		return "-ERR [LOGIN-DELAY] " + words + "\r\n"
	}
	return "421 4.7.0 " + s.Hostname + " " + words + "\r\n"
}

// addrOf returns where a connection comes from, IPv4 as IPv4 on any listener.
func addrOf(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		p := t.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return netip.AddrPort{}
}

// SessionInfo describes a session that is logged in.
type SessionInfo struct {
	ID       int64 // unique in this process
	Protocol protocol.Protocol
	TLS      string // version with the mail program; empty: none
	Client   netip.AddrPort
	Name     string // the name that the program gave itself
	Mailbox  string
	Password string // the name of the local password
	Provider string
	Since    time.Time // of the login
	Sent     int64     // bytes from the program to the provider
	Received int64
	Moved    time.Time // when bytes last moved
}

// errKicked: an administrator ended the session.
var errKicked = errors.New("ended by an administrator")

// sessionIDs numbers the sessions of all servers.
var sessionIDs atomic.Int64

// Sessions returns the sessions that are logged in, oldest first.
func (s *Server) Sessions() []SessionInfo {
	s.prepare()
	var list []SessionInfo
	for _, x := range s.sessions() {
		if info, loggedIn := x.info(); loggedIn {
			list = append(list, info)
		}
	}
	slices.SortFunc(list, func(a, b SessionInfo) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// Kick ends the sessions that match, and returns how many. A mail program in the
// middle of a command is cut off too, since the administrator wants the session
// gone; on IMAP, a quiet one is told BYE.
func (s *Server) Kick(match func(SessionInfo) bool) int {
	s.prepare()
	n := 0
	for _, x := range s.sessions() {
		info, loggedIn := x.info()
		if !loggedIn || !match(info) {
			continue
		}
		n++
		s.Log.Info("ending a session", append(x.fields(), zap.Error(errKicked))...)
		if s.Protocol == protocol.IMAP {
			x.hangUp(errKicked, func(c *relay.Conn) error {
				return new(imapDialect).farewell(c, "the administrator of authferry has ended this session")
			})
		}
		x.hangUp(errKicked, nil)
	}
	return n
}

// Sweep ends the sessions whose password has been revoked or whose mailbox is gone
// now, instead of within [Limits].Sweep.
func (s *Server) Sweep() {
	s.prepare()
	s.sweepOnce()
}

// Shutdown stops accepting and waits for sessions to end by themselves until
// ctx is done, then closes those that are left and returns the error of ctx.
// IMAP sessions that idle never end by themselves: they are told BYE as soon as
// they are quiet, so that their programs connect again, while busy sessions get
// their time.
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

// dismiss tells quiet IMAP sessions that they end.
func (s *Server) dismiss() {
	if s.Protocol != protocol.IMAP {
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

// sessions returns the live sessions.
func (s *Server) sessions() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*session, 0, len(s.live))
	for x := range s.live {
		all = append(all, x)
	}
	return all
}

// sweep ends sessions whose password has been revoked, keeps the metrics of long
// sessions up to date, and tidies the heap, until Shutdown ends.
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
