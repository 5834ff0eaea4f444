package main

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

	"authferry/admin"
	"authferry/alert"
	"authferry/audit"
	"authferry/internal/console"
	"authferry/internal/monitor"
	"authferry/proxy"
	"authferry/tokens"
)

// service is authferry at work under a configuration.
type service struct {
	config atomic.Pointer[config]
	log    *zap.Logger
	level  zap.AtomicLevel

	vault       *tokens.Vault
	gate        *proxy.Gate
	metrics     *proxy.Metrics
	audit       *audit.Log
	certificate atomic.Pointer[certificateSource]
	admin       *admin.Server // nil: none
	monitor     *monitor.Monitor
	monitored   *monitor.Server // nil: nowhere
	started     time.Time
	console     *http.Server // nil: none
	pages       *console.Console
	consoleAt   string       // where it listens, with the port it got
	release     func() error // gives the store back to whoever serves next
	tending     func()       // ends what looks after the certificate, and waits for its end
	watcher     *alert.Watcher

	mu        sync.Mutex // guards servers and listeners, and is held while reloading
	stopping  bool
	looking   sync.Mutex // held by alive
	servers   map[serverKind]*proxy.Server
	listeners map[listenKey]net.Listener
	serving   sync.WaitGroup
	failures  chan error
	rest      func() // ends what runs beside the listeners, and waits for it
}

// startService opens the store and every listener, and accepts.
func startService(c *config, log *zap.Logger, level zap.AtomicLevel) (_ *service, err error) {
	log.Info("configuration", c.effective()...)
	vault, err := openVault(c, log)
	if err != nil {
		return nil, err
	}
	release, err := holdStore(c.store)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, release())
		}
	}()
	s := &service{
		log: log, level: level, vault: vault, release: release, gate: proxy.NewGate(c.gate), metrics: &proxy.Metrics{},
		servers: map[serverKind]*proxy.Server{}, listeners: map[listenKey]net.Listener{},
		failures: make(chan error, 1), started: time.Now(),
	}
	s.config.Store(c)
	if err := s.takeCertificate(c); err != nil {
		return nil, failed(err, "the store directory must be writable, or [tls] must name a certificate")
	}
	err = unclaimed(c.listen, handedSockets())
	if err != nil {
		return nil, err
	}
	opened, err := bind(c.listen)
	if err != nil {
		return nil, err
	}
	s.audit = audit.Open(audit.DirIn(c.store), c.audit, log)
	s.accept(opened)
	s.watcher = watcherFor(s.config.Load, vault, log) // before a reload can be asked for
	s.monitor = s.newMonitor()
	if err := s.openDoors(c); err != nil {
		s.closeListeners()
		s.audit.Close()
		return nil, errors.Join(err, vault.Close(context.Background()))
	}
	s.tendCertificate()
	s.rest = inBackground(vault.Tend, s.recallOwners, s.watcher.Run, func(ctx context.Context) { vault.Follow(ctx, s.sweep) })
	return s, nil
}

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
	key listenKey
	net.Listener
}

// bind opens listeners: all of them, or none and every reason why not.
func bind(urls []listenURL) ([]bound, error) {
	var opened []bound
	var errs []error
	for _, l := range urls {
		ln, err := open(l)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.written, err))
			continue
		}
		opened = append(opened, bound{l.key(), watch(ln)})
	}
	if len(errs) == 0 {
		return opened, nil
	}
	for _, b := range opened {
		b.Close()
	}
	return nil, failed(errors.Join(errs...), "ports under 1024 need privileges; `ss -ltnp` shows who has a port")
}

// open opens one listener.
func open(l listenURL) (net.Listener, error) {
	if strings.HasPrefix(l.address, systemdAddress) {
		return listenHanded(l, handedSockets())
	}
	return net.Listen("tcp", l.address)
}

// accept serves listeners.
func (s *service) accept(opened []bound) {
	for _, b := range opened {
		key, ln := b.key, b.Listener
		s.listeners[key] = ln
		server := s.server(key.serverKind)
		s.log.Info("listening", zap.String("protocol", key.protocol), zap.Stringer("address", ln.Addr()),
			zap.String("security", securityName(key.security)))
		s.serving.Go(func() {
			err := server.Serve(ln)
			if !errors.Is(err, net.ErrClosed) && !errors.Is(err, proxy.ErrServerClosed) {
				select {
				case s.failures <- fmt.Errorf("%s on %s: %w", key.protocol, ln.Addr(), err):
				default: // one is enough to stop
				}
			}
		})
	}
}

// server returns the server of a kind, made when first asked for.
func (s *service) server(kind serverKind) *proxy.Server {
	if server := s.servers[kind]; server != nil {
		return server
	}
	c := s.config.Load()
	server := &proxy.Server{
		Protocol: kind.protocol, Security: kind.security, Hostname: c.hostname,
		Vault: s.vault, Providers: s.providers, Gate: s.gate, Metrics: s.metrics,
		Limits: c.limits, Log: s.log, Attempts: s.audit.Note,
		Allow: kind.options.allow.prefixes(), ProxyFrom: kind.options.proxyFrom.prefixes(),
	}
	if kind.security != proxy.Plain {
		server.TLS = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.certificate.Load().get(hello)
		}}
		kind.options.apply(server.TLS)
	}
	s.servers[kind] = server
	return server
}

// providers are those of the configuration in force.
func (s *service) providers() []*tokens.Provider {
	providers := s.config.Load().settings.Providers
	list := make([]*tokens.Provider, 0, len(providers))
	for _, name := range slices.Sorted(maps.Keys(providers)) {
		list = append(list, providers[name])
	}
	return list
}

func (s *service) closeListeners() {
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
func (s *service) address(protocol string) string {
	for _, l := range s.config.Load().listen {
		if ln := s.listeners[l.key()]; ln != nil && l.protocol == protocol {
			return ln.Addr().String()
		}
	}
	return ""
}

// watcherFor is a watcher of the store of a configuration, and of its
// providers as they are configured at the time.
func watcherFor(inForce func() *config, vault *tokens.Vault, log *zap.Logger) *alert.Watcher {
	c := inForce()
	return alert.NewWatcher(alert.Options{
		Vault: vault, Providers: func() map[string]*tokens.Provider { return inForce().settings.Providers },
		Dir: c.store, Host: c.hostname, Log: log, Config: c.alert,
	})
}
