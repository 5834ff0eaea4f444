package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"authferry/internal/printable"
	"authferry/internal/secret"
	"authferry/proxy/filter"
	"authferry/proxy/gate"
	"authferry/proxy/relay"
	"authferry/proxy/upstream"
	"authferry/tokens"
)

const (
	// maxLogins is how many logins a client may try on one connection.
	maxLogins = 3
	// maxClientName is how much of the name that a program gives itself is kept.
	maxClientName = 64
)

// session is one connection of a mail program. Its methods in this file take it
// from accept to close; those in conversation.go talk to the client before login.
type session struct {
	*Server
	id      int64
	dialect dialect // nil after login
	client  *relay.Conn
	doing   string // the step under way, in words that follow "while"
	login   tokens.Login
	trust   *gate.Trusted // the rule that replaces a password; nil: a password is needed
	grant   *tokens.Grant // nil until authorized

	provider upstream.Session // its Conn is nil until a login succeeded
	relay    *relay.Relay     // nil until bytes flow; guarded by Server.mu
	asked    time.Time        // when the client had sent its login
	started  time.Time
	counted  struct{ sent, received atomic.Int64 } // bytes already in Metrics
	peer     netip.AddrPort                        // the client's address
	slot     *gate.Slot                            // at the gate
	evicted  atomic.Bool                           // the gate needed its slot for another client
	judged   func()                                // ends its turn at having a password checked; nil: it has none
	balanced bool                                  // a load balancer brings it, with a PROXY header

	spoken   bool // the client has sent something
	nonsense int  // commands that made no sense so far
}

// run hears a login, opens the provider for it and welcomes the client. carry then
// relays between the client and s.provider. The error says why the session ends
// before that.
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
		if err == nil {
			s.provider, err = s.open(ctx)
		}
		if err != nil {
			if err := s.turnAway(ctx, err); err != nil {
				return err
			}
			continue
		}
		s.doing = "welcoming the client"
		return s.dialect.welcome(s.client, &s.provider)
	}
	s.doing = "ending the session after too many logins that failed"
	return s.dialect.farewell(s.client, "too many logins failed on this connection")
}

// serve takes a session to its login. If the login succeeds, carry starts the
// relay and this goroutine ends.
func (s *session) serve() {
	defer s.recover()
	s.client.SetLimits(s.Limits.Command, time.Now().Add(s.Limits.Login))
	err := s.readProxyHeader()
	if err == nil {
		err = s.handshake()
	}
	if err == nil {
		err = s.run(s.ctx)
	}
	if err == nil && s.provider.Conn != nil {
		s.carry()
		return
	}
	s.fail(err)
	s.close()
}

// readProxyHeader reads the header of a connection that a load balancer brings, and asks
// the gate about the client that it names.
func (s *session) readProxyHeader() error {
	if !s.balanced {
		return nil
	}
	s.doing = "reading the PROXY header"
	w := s.client.Wire
	if err := w.SetReadDeadline(time.Now().Add(proxyHeaderTime)); err != nil {
		return err
	}
	header, err := parseProxyHeader(w)
	switch {
	case errors.Is(err, io.EOF) && !w.Heard():
		return errClientLeft // a health check that only connects
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: it did not come in time", errProxyHeader)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the load balancer closed in the middle of its PROXY header: %w", err)
	case err != nil:
		return err
	}
	w.ResetHeard() // nothing from the client
	admit := s.askGate
	if header.local {
		admit = s.Gate.AdmitBalancer
	}
	if header.client.IsValid() {
		s.peer = header.client
	}
	slot, err := admit(s.peer.Addr(), s.evict)
	if err != nil {
		s.Metrics.turned.Add(1)
		s.attemptTurnedAway(s.peer, err)
		s.sayNo(w, refusalFor(err).words)
		return err
	}
	s.slot = slot
	return nil
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
		if err := wrongProtocol(s.Protocol, string(plain.RecordHeader[:])); err != nil {
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

// tlsFirst reports whether TLS comes before the greeting. On a listener that
// accepts both the client decides: one that starts with TLS speaks at once, one
// without waits for the greeting. So silence means plain text. How long it must
// last is a trade-off: programs without TLS wait that much longer for each
// greeting, and programs with TLS that take longer to begin fail (a device that
// computes for half a second, a first packet that has to be sent again).
func (s *session) tlsFirst() (bool, error) {
	if s.Security != Either {
		return s.Security == Implicit, nil
	}
	s.doing = "waiting for either TLS or silence"
	hello, err := beginsTLS(s.client.Wire, s.Limits.Hello)
	if errors.Is(err, io.EOF) {
		err = errClientLeft
	}
	return hello, err
}

// open turns a login into a connection to the provider that is logged in.
func (s *session) open(ctx context.Context) (upstream.Session, error) {
	grant, err := s.authorize(ctx)
	if err != nil {
		return upstream.Session{}, err
	}
	s.grant = grant
	s.slot.LoggedIn() // nearly: it must not be evicted any more
	provider, err := s.enter(ctx, grant)
	if errors.Is(err, upstream.ErrTokenRefused) && !grant.Minted {
		s.doing = "renewing a token that the provider refused"
		if grant, err = s.Vault.Renew(ctx, grant); err != nil {
			return upstream.Session{}, err
		}
		s.grant = grant
		provider, err = s.enter(ctx, grant)
	}
	if errors.Is(err, upstream.ErrTokenRefused) {
		s.Vault.Refused(grant)
	}
	return provider, err
}

// authorize returns the grant that the client may use. A wrong password keeps its
// turn until it has been counted: see turnAway.
func (s *session) authorize(ctx context.Context) (*tokens.Grant, error) {
	if s.trust != nil {
		return s.authorizeTrusted(ctx)
	}
	s.doing = "checking the local password"
	mailbox, _ := s.Vault.Canonical(s.login.User)
	done, err := s.Gate.Begin(ctx, s.login.From, mailbox)
	if err != nil {
		return nil, err
	}
	s.judged = done
	grant, err := s.Vault.Authorize(ctx, s.login)
	if err == nil {
		s.Gate.Succeeded(s.login.From, mailbox)
	}
	if !errors.Is(err, tokens.ErrBadLogin) {
		s.endTurn()
	}
	return grant, err
}

// authorizeTrusted authorizes a client of a trusted network, which needs no
// password. A message beyond the limit per hour is refused here, before the
// provider sees another login.
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
		return nil, &wordedError{fmt.Errorf("%w: %s", gate.ErrTooMany, words), words}
	}
	place.End(false) // the filter takes it, when it sees MAIL
	return g, nil
}

// endTurn lets the next login to the same mailbox be checked.
func (s *session) endTurn() {
	if s.judged != nil {
		s.judged()
		s.judged = nil
	}
}

// enter logs in to the provider once, on a connection of its own.
func (s *session) enter(ctx context.Context, g *tokens.Grant) (upstream.Session, error) {
	o := upstream.Options{
		Protocol: s.Protocol, Timeout: s.Limits.ProviderLogin, Hostname: s.Hostname,
		Sent: s.tracer("to provider"), Received: s.tracer("from provider"), Step: &s.doing,
	}
	if d, ok := s.dialect.(*smtpDialect); ok {
		o.EHLO = d.helo
	}
	provider, err := upstream.Login(ctx, g, o)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		err = errShuttingDown
	}
	return provider, err
}

// turnAway refuses a login. The delay before a refusal of a bad password grows
// with the failures of its address and is the same for every reason.
func (s *session) turnAway(ctx context.Context, cause error) error {
	r := refusalFor(cause)
	if r.row == rowBadLogin {
		wrong := s.login
		wrong.User, _ = s.Vault.Canonical(s.login.User) // an alias is not another mailbox
		if err := s.Gate.Failed(ctx, wrong, s.endTurn); errors.Is(err, gate.ErrTooMany) {
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

// giveUp ends a conversation without a login, and tells the client why.
func (s *session) giveUp(why error) error {
	switch {
	case errors.Is(why, os.ErrDeadlineExceeded):
		s.dialect.farewell(s.client, "no login in time")
	case errors.Is(why, errWrongProtocol):
		s.dialect.farewell(s.client, "this port speaks "+s.Protocol.Upper())
	case errors.Is(why, errNonsense):
		s.dialect.farewell(s.client, "too many commands that make no sense here")
	}
	return why
}

// isAboutLogin distinguishes an error of a login, which is refused by the table,
// from one that ends the conversation.
func isAboutLogin(err error) bool {
	return errors.Is(err, errNeedsTLS) || errors.Is(err, tokens.ErrBadLogin)
}

// carry records a login that succeeded, drops what it needed, and starts the relay.
func (s *session) carry() {
	s.doing = "carrying mail"
	s.login.Password = ""
	grant := *s.grant
	grant.AccessToken = ""
	s.grant = &grant
	r := relay.New(s.client, s.provider.Conn)
	o := filter.Options{Protocol: s.Protocol, Vault: s.Vault, Grant: s.grant, Chunking: s.provider.Chunking}
	if d, ok := s.dialect.(*smtpDialect); ok {
		r.First = d.first
	}
	r.Filter = filter.New(o, r)
	s.dialect = nil
	s.provider = upstream.Session{Conn: s.provider.Conn}
	s.client.SetTrace(nil, nil)
	s.provider.Conn.SetTrace(nil, nil)
	s.started = time.Now()
	s.Metrics.of(s.Protocol).established(s.started.Sub(s.asked))
	s.recordAttempt(AttemptOK, nil)
	s.Log.Info("session established", s.fields()...)

	s.mu.Lock()
	s.relay = r
	s.mu.Unlock()
	r.Start(s.Limits.Stall, s.carried)
}

// carried ends a session whose relay has ended.
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

// fail logs a session that ended without a login.
func (s *session) fail(err error) {
	if s.evicted.Load() {
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

// close frees everything that a session holds.
func (s *session) close() {
	s.client.Release() // returns the buffer to its pool
	s.client.Close()
	if s.provider.Conn != nil {
		s.provider.Conn.Close()
	}
	s.mu.Lock()
	delete(s.live, s)
	s.mu.Unlock()
	s.endTurn()
	s.slot.Release()
	s.Metrics.of(s.Protocol).open.Add(-1)
	select {
	case s.gone <- struct{}{}:
	default:
	}
}

// evict ends a session that has not logged in, from outside.
func (s *session) evict() {
	s.evicted.Store(true)
	s.client.Wire.Close()
}

// hangUp ends a session from outside; see [relay.Relay.HangUp]. Before login it
// does nothing.
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

// count adds the bytes carried since the last call to the metrics.
func (s *session) count() {
	m := s.Metrics.of(s.Protocol)
	sent, received := s.relay.Sent(), s.relay.Received()
	m.sent.Add(sent - s.counted.sent.Swap(sent))
	m.received.Add(received - s.counted.received.Swap(received))
}

// info describes a session; loggedIn reports whether it is logged in.
func (s *session) info() (_ SessionInfo, loggedIn bool) {
	r := s.flowing()
	if r == nil {
		return SessionInfo{}, false
	}
	info := SessionInfo{
		ID: s.id, Protocol: s.Protocol, TLS: tlsVersion(s.client), Client: s.peer, Name: s.login.Client,
		Mailbox: s.grant.Mailbox, Password: s.grant.PasswordName, Provider: s.grant.Provider.Name,
		Since: s.started, Sent: r.Sent(), Received: r.Received(),
		Moved: r.LastActive(),
	}
	return info, true
}

// loginBy returns the login that a dialect has heard.
func (s *session) loginBy(user string, password secret.String, client string) tokens.Login {
	return tokens.Login{User: user, Password: password, Protocol: s.Protocol, From: s.peer.Addr(), Client: client}
}
