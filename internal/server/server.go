// Package server is authferry at work: it opens the store and the listeners of a
// configuration, serves them, takes a new configuration, and drains. The commands
// serve, demo and service start it.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"authferry/internal/admin"
	"authferry/internal/alert"
	"authferry/internal/audit"
	"authferry/internal/certs"
	"authferry/internal/config"
	"authferry/internal/console"
	"authferry/internal/hint"
	"authferry/internal/monitor"
	"authferry/internal/protocol"
	"authferry/proxy"
	"authferry/proxy/gate"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// service is authferry at work under a configuration.
type Server struct {
	Config atomic.Pointer[config.Config]
	Log    *zap.Logger
	Level  zap.AtomicLevel

	Vault       *tokens.Vault
	Gate        *gate.Gate
	metrics     *proxy.Metrics
	audit       *audit.Log
	certificate atomic.Pointer[certs.Source]
	admin       *admin.Server // nil: none
	Monitor     *monitor.Monitor
	Monitored   *monitor.Server // nil: nowhere
	started     time.Time
	console     *http.Server // nil: none
	pages       *console.Console
	ConsoleAt   string       // where it listens, with the port it got
	release     func() error // gives the store back to whoever serves next
	tending     func()       // ends what looks after the certificate, and waits for its end
	Watcher     *alert.Watcher

	mu        sync.Mutex // guards servers and listeners, and is held while reloading
	stopping  bool
	looking   sync.Mutex // held by alive
	servers   map[config.ServerKind]*proxy.Server
	listeners map[config.ListenKey]net.Listener
	serving   sync.WaitGroup
	Failures  chan error
	rest      func() // ends what runs beside the listeners, and waits for it
}

// startService opens the store and every listener, and accepts.
func Start(c *config.Config, log *zap.Logger, level zap.AtomicLevel) (_ *Server, err error) {
	log.Info("configuration", c.Effective()...)
	vault, err := OpenVault(c, log)
	if err != nil {
		return nil, err
	}
	release, err := HoldStore(c.Store)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, release())
		}
	}()
	s := &Server{
		Log: log, Level: level, Vault: vault, release: release, Gate: gate.New(c.Gate), metrics: &proxy.Metrics{},
		servers: map[config.ServerKind]*proxy.Server{}, listeners: map[config.ListenKey]net.Listener{},
		Failures: make(chan error, 1), started: time.Now(),
	}
	s.Config.Store(c)
	if err := s.takeCertificate(c); err != nil {
		return nil, hint.New(err, "the store directory must be writable, or [tls] must name a certificate")
	}
	err = unclaimed(c.Listen, handedSockets())
	if err != nil {
		return nil, err
	}
	opened, err := bind(c.Listen)
	if err != nil {
		return nil, err
	}
	s.audit = audit.Open(audit.DirIn(c.Store), c.Audit, log)
	s.accept(opened)
	s.Watcher = WatcherFor(s.Config.Load, vault, log) // before a reload can be asked for
	s.Monitor = s.newMonitor()
	if err := s.openDoors(c); err != nil {
		s.closeListeners()
		s.audit.Close()
		return nil, errors.Join(err, vault.Close(context.Background()))
	}
	s.tendCertificate()
	s.rest = inBackground(vault.KeepAlive, s.RecallOwners, s.Watcher.Run, func(ctx context.Context) { vault.Follow(ctx, s.sweep) })
	return s, nil
}

// inForce returns the configuration in force.
func (s *Server) InForce() *config.Config { return s.Config.Load() }

// inBackground starts tasks, and returns what ends them.
func inBackground(tasks ...func(context.Context)) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, task := range tasks {
		running.Go(func() { task(ctx) })
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// bound is a listener that is open and serves nobody yet.
type bound struct {
	key config.ListenKey
	net.Listener
}

// bind opens listeners: all of them, or none and every reason why not.
func bind(urls []config.Listener) ([]bound, error) {
	var opened []bound
	var errs []error
	for _, l := range urls {
		ln, err := open(l)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.Written, err))
			continue
		}
		opened = append(opened, bound{l.Key(), watch(ln)})
	}
	if len(errs) == 0 {
		return opened, nil
	}
	for _, b := range opened {
		b.Close()
	}
	return nil, hint.New(errors.Join(errs...), "ports under 1024 need privileges; `ss -ltnp` shows who has a port")
}

// open opens one listener.
func open(l config.Listener) (net.Listener, error) {
	if strings.HasPrefix(l.Address, config.SystemdAddress) {
		return listenHanded(l, handedSockets())
	}
	return net.Listen("tcp", l.Address)
}

// accept serves listeners.
func (s *Server) accept(opened []bound) {
	for _, b := range opened {
		key, ln := b.key, b.Listener
		s.listeners[key] = ln
		server := s.server(key.ServerKind)
		s.Log.Info("listening", zap.String("protocol", key.Protocol), zap.Stringer("address", ln.Addr()),
			zap.String("security", SecurityName(key.Security)))
		s.serving.Go(func() {
			err := server.Serve(ln)
			if !errors.Is(err, net.ErrClosed) && !errors.Is(err, proxy.ErrServerClosed) {
				select {
				case s.Failures <- fmt.Errorf("%s on %s: %w", key.Protocol, ln.Addr(), err):
				default: // one is enough to stop
				}
			}
		})
	}
}

// server returns the server of a kind, made when first asked for.
func (s *Server) server(kind config.ServerKind) *proxy.Server {
	if server := s.servers[kind]; server != nil {
		return server
	}
	c := s.Config.Load()
	server := &proxy.Server{
		Protocol: protocol.Protocol(kind.Protocol), Security: kind.Security, Hostname: c.Hostname,
		Vault: s.Vault, Providers: s.providers, Gate: s.Gate, Metrics: s.metrics,
		Limits: c.Limits, Log: s.Log, Attempts: s.audit.Note,
		Allow: kind.Options.Allow.Prefixes(), ProxyFrom: kind.Options.ProxyFrom.Prefixes(),
	}
	if kind.Security != proxy.Plain {
		server.TLS = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.certificate.Load().Get(hello)
		}}
		kind.Options.Apply(server.TLS)
	}
	s.servers[kind] = server
	return server
}

// providers are those of the configuration in force.
func (s *Server) providers() []*oauth.Provider {
	providers := s.Config.Load().Settings.Providers
	list := make([]*oauth.Provider, 0, len(providers))
	for _, name := range slices.Sorted(maps.Keys(providers)) {
		list = append(list, providers[name])
	}
	return list
}

func (s *Server) closeListeners() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	for key, ln := range s.listeners {
		ln.Close()
		delete(s.listeners, key)
	}
}

// address is where a protocol is served: the first listener of the
// configuration that has it, with the port it got.
func (s *Server) Address(protocol string) string {
	for _, l := range s.Config.Load().Listen {
		if ln := s.listeners[l.Key()]; ln != nil && l.Protocol == protocol {
			return ln.Addr().String()
		}
	}
	return ""
}

// watcherFor is a watcher of the store of a configuration, and of its
// providers as they are configured at the time.
func WatcherFor(inForce func() *config.Config, vault *tokens.Vault, log *zap.Logger) *alert.Watcher {
	c := inForce()
	return alert.NewWatcher(alert.Options{
		Vault: vault, Providers: func() map[string]*oauth.Provider { return inForce().Settings.Providers },
		Dir: c.Store, Host: c.Hostname, Log: log, Config: c.Alert,
	})
}
