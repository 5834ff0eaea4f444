// Package server runs authferry: it opens the store and the listeners of a
// configuration, serves them, reloads the configuration, and drains. The commands
// serve, demo and service start it.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"

	"authferry/internal/admin"
	"authferry/internal/alert"
	"authferry/internal/audit"
	"authferry/internal/config"
	"authferry/internal/console"
	"authferry/internal/hint"
	"authferry/internal/monitor"
	"authferry/internal/protocol"
	"authferry/proxy"
	"authferry/proxy/gate"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// Server serves one configuration at a time.
type Server struct {
	Log   *zap.Logger
	Level zap.AtomicLevel

	Vault       *tokens.Vault
	Gate        *gate.Gate
	Watcher     *alert.Watcher
	Failures    chan error // the first listener that failed
	config      atomic.Pointer[config.Config]
	metrics     *proxy.Metrics
	audit       *audit.Log
	certificate certificateKeeper
	started     time.Time
	release     func() error // unlocks the store's directory
	background  func()       // ends the background tasks, and waits for them

	reloading sync.Mutex // guards stopping, and is held while reloading
	stopping  bool
	listeners *listenState

	admin     *admin.Server // nil: none
	Monitor   *monitor.Monitor
	Monitored *monitor.Server // nil: none
	console   *http.Server    // nil: none
	pages     *console.Console
	consoleAt string // the console's address, with the port it got
	serving   sync.WaitGroup
}

// Start opens the store and every listener, and accepts connections.
func Start(c *config.Config, log *zap.Logger, level zap.AtomicLevel) (_ *Server, err error) {
	log.Info("configuration", c.Effective()...)
	vault, err := OpenVault(c, log)
	if err != nil {
		return nil, err
	}
	release, err := HoldStore(c.StateDir)
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
		Failures: make(chan error, 1), started: time.Now(),
	}
	s.listeners = newListenState(s.newProxy, s.fail, log)
	s.config.Store(c)
	if err := s.certificate.load(c, vault, log); err != nil {
		return nil, hint.New(err, "the store directory must be writable, or [tls] must name a certificate")
	}
	if err := unclaimed(c.Listen, handedSockets()); err != nil {
		return nil, err
	}
	opened, err := bind(c.Listen)
	if err != nil {
		return nil, err
	}
	s.audit = audit.Open(audit.DirIn(c.StateDir), c.Audit, log)
	s.listeners.serve(opened)
	s.Watcher = WatcherFor(s.InForce, vault, log) // before a reload can be asked for
	s.Monitor = s.newMonitor()
	if err := s.openServices(c); err != nil {
		s.closeListeners()
		s.audit.Close()
		return nil, errors.Join(err, vault.Close(context.Background()))
	}
	s.certificate.maintain()
	s.background = inBackground(vault.KeepAlive, s.SeedGate, s.Watcher.Run, func(ctx context.Context) { vault.Follow(ctx, s.sweep) })
	return s, nil
}

// InForce returns the configuration in force.
func (s *Server) InForce() *config.Config { return s.config.Load() }

// fail reports that a listener failed. One failure is enough to stop.
func (s *Server) fail(err error) {
	select {
	case s.Failures <- err:
	default:
	}
}

// newProxy returns the proxy for listeners of one kind.
func (s *Server) newProxy(kind config.ServerKind) *proxy.Server {
	c := s.InForce()
	server := &proxy.Server{
		Protocol: kind.Protocol, Security: kind.Security, Hostname: c.Hostname,
		Vault: s.Vault, Providers: s.providers, Gate: s.Gate, Metrics: s.metrics,
		Limits: c.Limits, Log: s.Log, Attempts: s.audit.Note,
		Allow: kind.Options.Allow.Prefixes(), ProxyFrom: kind.Options.ProxyFrom.Prefixes(),
	}
	if kind.Security != proxy.Plain {
		server.TLS = &tls.Config{GetCertificate: s.certificate.get}
		kind.Options.Apply(server.TLS)
	}
	return server
}

// providers returns the providers of the configuration in force.
func (s *Server) providers() []*oauth.Provider {
	providers := s.InForce().Settings.Providers
	list := make([]*oauth.Provider, 0, len(providers))
	for _, name := range slices.Sorted(maps.Keys(providers)) {
		list = append(list, providers[name])
	}
	return list
}

// Address returns the address of the configuration's first listener for a
// protocol, with the port it got.
func (s *Server) Address(p protocol.Protocol) string {
	for _, l := range s.InForce().Listen {
		if at := s.listeners.address(l); at != "" && l.Protocol == p {
			return at
		}
	}
	return ""
}

// SeedGate tells the gate which addresses used the mailboxes before the restart,
// so that wrong passwords from other addresses do not lock these out.
func (s *Server) SeedGate(ctx context.Context) {
	err := s.Vault.LastUses(ctx, func(mailbox string, u store.Use) { s.Gate.Remember(u.From, mailbox, u.At) })
	if err != nil && ctx.Err() == nil {
		s.Log.Warn("the addresses that last used each mailbox could not be read; wrong passwords from elsewhere may lock a mailbox's owner out until the next login", zap.Error(err))
	}
}

// Run serves until a signal arrives or a listener fails.
func (s *Server) Run(signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	logDescriptors(s.Log, DescriptorLimit(), s.InForce().Gate.Connections)
	s.Log.Info("authferry ready")
	tellSystemd(daemon.SdNotifyReady)
	watching.Go(func() { watchdog(ctx, s.listeners.alive, s.Log) })
	for {
		select {
		case err := <-s.Failures:
			s.Log.Error("a listener failed", zap.Error(err))
			s.stop(signals)
			return err
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				s.Log.Info("stopping", zap.Stringer("signal", sig), zap.Duration("drain", s.InForce().Drain))
				return s.stop(signals)
			}
			s.ReloadFile()
		}
	}
}

// stop closes the listeners and waits for sessions to end, until the drain time
// is over or another signal arrives.
func (s *Server) stop(signals <-chan os.Signal) error {
	tellSystemd(daemon.SdNotifyStopping)
	ctx, cancel := context.WithTimeout(context.Background(), s.InForce().Drain)
	defer cancel()
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case sig := <-signals:
				if sig != syscall.SIGHUP {
					s.Log.Info("stopping at once", zap.Stringer("signal", sig))
					cancel()
				}
			case <-done:
				return
			}
		}
	}()
	return s.Shutdown(ctx)
}

// ReloadFile puts the configuration file in force. If it cannot, it logs why and
// returns an error with a line for each complaint.
func (s *Server) ReloadFile() error {
	tellSystemd(reloadingState())
	defer tellSystemd(daemon.SdNotifyReady)
	c, err := config.Load(s.InForce().File)
	if err == nil {
		err = s.Reload(c)
	}
	if err == nil {
		s.Log.Info("configuration reloaded", c.Effective()...)
		return nil
	}
	logComplaints(s.Log, "configuration refused", err)
	s.Log.Error("the configuration in force is kept")
	return err
}

// Reload puts a new configuration in force, or returns why not and changes
// nothing. Live sessions continue under the configuration they began with.
func (s *Server) Reload(c *config.Config) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if s.stopping {
		return errors.New("authferry is shutting down")
	}
	if err := errors.Join(needRestart(s.InForce(), c), unclaimed(c.Listen, handedSockets())); err != nil {
		return err
	}
	old := s.certificate.source.Load()
	if err := s.certificate.load(c, s.Vault, s.Log); err != nil {
		return err
	}
	if err := s.listeners.move(c.Listen); err != nil {
		s.certificate.source.Store(old)
		return err
	}
	s.config.Store(c)
	s.certificate.maintain()
	s.Vault.Configure(c.Settings)
	s.Gate.Configure(c.Gate)
	s.Watcher.Configure(c.Alert)
	s.audit.Resize(c.Audit)
	s.Level.SetLevel(c.Log.Level)
	for _, w := range c.Warnings {
		s.Log.Warn(w)
	}
	return nil
}

func (s *Server) isStopping() bool {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	return s.stopping
}

// closeListeners closes the listeners and refuses every reload from now on.
func (s *Server) closeListeners() {
	s.reloading.Lock()
	s.stopping = true
	s.reloading.Unlock()
	s.listeners.closeAll()
}

// VaultClose bounds how long writing the last uses of passwords may take.
const VaultClose = 5 * time.Second

// Shutdown stops everything. Sessions may continue until ctx is done.
func (s *Server) Shutdown(ctx context.Context) error {
	s.closeListeners()
	s.closeConsole()
	if s.admin != nil {
		defer s.admin.Close() // it lists the sessions that drain
	}
	defer s.closeMonitor()
	s.certificate.stop()
	s.background()
	errs := []error{s.listeners.drain(ctx)}
	s.serving.Wait()
	s.audit.Close()
	ctx, cancel := context.WithTimeout(context.Background(), VaultClose)
	defer cancel()
	if err := s.Vault.Close(ctx); err != nil {
		errs = append(errs, fmt.Errorf("closing the store: %w", err))
	}
	errs = append(errs, s.release())
	s.Log.Info("authferry stopped")
	return errors.Join(errs...)
}

// inBackground starts tasks, and returns a function that ends them and waits.
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

// needRestart returns an error for each key that cannot change while serving.
func needRestart(old, now *config.Config) error {
	var errs []error
	for _, key := range []struct {
		name    string
		changed bool
	}{
		{"store", old.StateDir != now.StateDir || old.Postgres != now.Postgres || old.Outage != now.Outage},
		{"seal", old.Seal != now.Seal},
		{"admin", old.Admin != now.Admin},
		{"console", old.Console.Written != now.Console.Written},
		{"monitor", old.Monitor != now.Monitor},
		{"hostname", old.Hostname != now.Hostname},
		{"limits", old.Limits != now.Limits},
		{"log.format", old.Log.Format != now.Log.Format},
	} {
		if key.changed {
			errs = append(errs, fmt.Errorf("%s: %s: cannot change while serving; restart authferry instead", now.File, key.name))
		}
	}
	return errors.Join(errs...)
}

// logComplaints logs each line of an error.
func logComplaints(log *zap.Logger, message string, err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		log.Error(message, zap.String("complaint", line))
	}
}

// WatcherFor returns a watcher of a configuration's store. It reads the providers
// from the configuration in force each time.
func WatcherFor(inForce func() *config.Config, vault *tokens.Vault, log *zap.Logger) *alert.Watcher {
	c := inForce()
	return alert.NewWatcher(alert.Options{
		Vault: vault, Providers: func() map[string]*oauth.Provider { return inForce().Settings.Providers },
		Dir: c.StateDir, Host: c.Hostname, Log: log, Config: c.Alert,
	})
}
