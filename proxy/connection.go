package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"go.uber.org/zap"

	"authferry/internal/network"
	"authferry/internal/printable"
	"authferry/proxy/filter"
	"authferry/proxy/gate"
	"authferry/proxy/relay"
)

// admit starts a session on a connection, if the gate lets it in.
func (s *Server) admit(conn net.Conn) {
	from := addrOf(conn.RemoteAddr())
	x := &session{Server: s, id: sessionIDs.Add(1), client: relay.NewConn(relay.NewWire(conn)), dialect: newDialect(s.Protocol), peer: from}
	x.balanced = network.Contains(s.ProxyFrom, from.Addr())
	if !x.balanced { // otherwise its header has to say first who comes
		var err error
		if x.seat, err = s.letIn(from.Addr(), x.crowdOut); err != nil {
			s.Metrics.turned.Add(1)
			s.turnedAway(from, err)
			s.Log.Info("connection refused", zap.String("protocol", s.Protocol), zap.Stringer("client", from), zap.Error(err))
			s.sayNo(conn, refusalFor(err).words)
			x.client.Release() // gives the buffer back
			conn.Close()
			return
		}
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetKeepAliveConfig(keepAlive)
	}
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		x.seat.Release()
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

// letIn asks the listener and the gate about a client.
func (s *Server) letIn(from netip.Addr, drop func()) (*gate.Slot, error) {
	if len(s.Allow) > 0 && !from.IsLoopback() && !network.Contains(s.Allow, from) {
		return nil, errNotHere
	}
	return s.Gate.Admit(from, drop)
}

// crowdOut ends a session that has not logged in, from outside.
func (s *session) crowdOut() {
	s.crowded.Store(true)
	s.client.Wire.Close()
}

func newDialect(protocol string) dialect {
	switch protocol {
	case "imap":
		return new(imapDialect)
	case "pop3":
		return new(pop3Dialect)
	case "smtp":
		return new(smtpDialect)
	}
	panic("proxy: no such protocol: " + protocol)
}

// sayNo answers a connection that is not served in the form of a greeting. A
// client that starts with TLS is not worth the handshake, and is told nothing.
func (s *Server) sayNo(conn net.Conn, words string) {
	if s.Security == Implicit || s.Security == Either {
		return
	}
	conn.SetWriteDeadline(time.Now().Add(time.Second))
	io.WriteString(conn, s.goodbye(words))
}

// goodbye is a greeting that turns away: RFC 9051 §7.1.5, RFC 2449 §8.1.1,
// RFC 5321 §3.1.
func (s *Server) goodbye(words string) string {
	switch s.Protocol {
	case "imap":
		return "* BYE " + words + "\r\n"
	case "pop3":
		return "-ERR [LOGIN-DELAY] " + words + "\r\n"
	}
	return "421 4.7.0 " + s.Hostname + " " + words + "\r\n"
}

// addrOf is where a connection comes from, IPv4 as IPv4 on any listener.
func addrOf(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		p := t.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return netip.AddrPort{}
}

// from is where the client connects from.
func (s *session) from() netip.AddrPort { return s.peer }

// serve takes a session to its login. If it gets there, carry starts the relay
// and this goroutine ends.
func (s *session) serve() {
	defer s.recover()
	s.client.SetLimits(s.Limits.Command, time.Now().Add(s.Limits.Login))
	err := s.introduce()
	if err == nil {
		err = s.handshake()
	}
	if err == nil {
		err = s.run(s.ctx)
	}
	if err == nil && s.provider != nil {
		s.carry()
		return
	}
	s.fail(err)
	s.close()
}

// handshake starts TLS where it comes first.
func (s *session) handshake() error {
	first, err := s.tlsFirst()
	if err != nil || !first {
		return err
	}
	s.doing = "starting TLS with the client"
	err = s.client.StartTLSServer(s.TLS)
	plain := tls.RecordHeaderError{}
	const fix = "this port expects TLS from the first byte: choose SSL/TLS in the mail program"
	switch {
	case errors.As(err, &plain) && plain.Conn != nil:
		io.WriteString(plain.Conn, s.goodbye(fix))
		if err := s.stranger(string(plain.RecordHeader[:])); err != nil {
			return err
		}
		return fmt.Errorf("the client does not speak TLS: choose SSL/TLS in the mail program, or another listener: %w", err)
	case errors.Is(err, os.ErrDeadlineExceeded) && !s.client.Wire.Heard():
		// It may be waiting for a greeting, as programs without TLS do.
		s.client.SetWriteDeadline(time.Now().Add(time.Second))
		io.WriteString(s.client.Wire, s.goodbye(fix))
		return fmt.Errorf("the client sent nothing; if it does not speak TLS, choose SSL/TLS in the mail program: %w", err)
	}
	return err
}

// carry notes that a login succeeded, lets go of what it needed, and starts to
// relay.
func (s *session) carry() {
	s.doing = "carrying mail"
	s.login.Password = ""
	grant := *s.grant
	grant.AccessToken = ""
	s.grant = &grant
	r := relay.New(s.client, s.provider)
	o := filter.Options{Protocol: s.Protocol, Vault: s.Vault, Grant: s.grant}
	if d, ok := s.dialect.(*smtpDialect); ok {
		r.First, o.Chunking = d.first, d.chunking
	}
	r.Filter = filter.New(o, r)
	s.dialect = nil
	s.client.SetTrace(nil, nil)
	s.provider.SetTrace(nil, nil)
	s.started = time.Now()
	s.Metrics.of(s.Protocol).established(s.started.Sub(s.asked))
	s.attempted(AttemptOK, nil)
	s.Log.Info("session established", s.fields()...)

	s.mu.Lock()
	s.relay = r
	s.mu.Unlock()
	r.Start(s.Limits.Stall, s.carried)
}

// carried logs the end of a session.
func (s *session) carried(end relay.Ending) {
	s.count()
	s.Metrics.of(s.Protocol).carrying.Add(-1)
	fields := append(s.fields(), zap.String("outcome", outcome(end)),
		zap.Int64("sent", s.relay.Sent()), zap.Int64("received", s.relay.Received()),
		zap.Duration("for", time.Since(s.started)))
	if end.Err != nil {
		fields = append(fields, zap.Error(end.Err))
	}
	s.Log.Info("session ended", fields...)
	s.close()
}

// fail logs a session that came to no login.
func (s *session) fail(err error) {
	if s.crowded.Load() {
		err = gate.ErrEvicted
	}
	switch {
	case err == nil, errors.Is(err, errClientLeft):
		s.Log.Debug("session ended", s.fields()...)
	default:
		s.Log.Info("session ended", append(s.fields(), zap.Error(err))...)
	}
}

// recover keeps a bug in one session from ending the others.
func (s *session) recover() {
	if v := recover(); v != nil {
		s.Log.Error("session ended", append(s.fields(), zap.Error(printable.Panic(v)))...)
		s.close()
	}
}

// close frees all that a session holds.
func (s *session) close() {
	s.client.Release() // gives the buffer back
	s.client.Close()
	if s.provider != nil {
		s.provider.Close()
	}
	s.mu.Lock()
	delete(s.live, s)
	s.mu.Unlock()
	s.endTurn()
	s.seat.Release()
	s.Metrics.of(s.Protocol).open.Add(-1)
	select {
	case s.gone <- struct{}{}:
	default:
	}
}

// count adds what has been carried since the last time to the metrics.
func (s *session) count() {
	m := s.Metrics.of(s.Protocol)
	sent, received := s.relay.Sent(), s.relay.Received()
	m.sent.Add(sent - s.counted.sent.Swap(sent))
	m.received.Add(received - s.counted.received.Swap(received))
}
