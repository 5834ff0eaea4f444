package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/proxy"
)

// listenState holds the open listeners for mail programs, and a proxy for each
// kind of listener.
type listenState struct {
	newProxy func(config.ServerKind) *proxy.Server
	fail     func(error)
	log      *zap.Logger

	mu      sync.Mutex
	proxies map[config.ServerKind]*proxy.Server
	open    map[config.ListenKey]*beating
	serving sync.WaitGroup
}

func newListenState(newProxy func(config.ServerKind) *proxy.Server, fail func(error), log *zap.Logger) *listenState {
	return &listenState{
		newProxy: newProxy, fail: fail, log: log,
		proxies: map[config.ServerKind]*proxy.Server{}, open: map[config.ListenKey]*beating{},
	}
}

// serve accepts connections from listeners.
func (s *listenState) serve(opened []bound) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serveLocked(opened)
}

func (s *listenState) serveLocked(opened []bound) {
	for _, b := range opened {
		key, ln := b.key, b.beating
		s.open[key] = ln
		server := s.proxies[key.ServerKind]
		if server == nil {
			server = s.newProxy(key.ServerKind)
			s.proxies[key.ServerKind] = server
		}
		s.log.Info("listening", zap.String("protocol", string(key.Protocol)), zap.Stringer("address", ln.Addr()),
			zap.String("security", SecurityName(key.Security)))
		s.serving.Go(func() {
			err := server.Serve(ln)
			if !errors.Is(err, net.ErrClosed) && !errors.Is(err, proxy.ErrServerClosed) {
				s.fail(fmt.Errorf("%s on %s: %w", key.Protocol, ln.Addr(), err))
			}
		})
	}
}

// move opens the listeners that are new and closes those that are gone. An
// address that another listener takes over (imap:// becomes imap+starttls://) has
// to be closed first; if opening fails then, the old listener is opened again.
func (s *listenState) move(urls []config.Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := map[config.ListenKey]bool{}
	addresses := map[string]bool{}
	var added []config.Listener
	for _, l := range urls {
		wanted[l.Key()] = true
		if s.open[l.Key()] == nil {
			added = append(added, l)
			addresses[l.Address] = true
		}
	}
	var closed []config.Listener
	for key, ln := range s.open {
		if !wanted[key] && addresses[key.Address] {
			ln.Close()
			delete(s.open, key)
			closed = append(closed, config.Listener{Protocol: key.Protocol, Security: key.Security, Address: key.Address, Options: key.Options})
		}
	}
	opened, err := bind(added)
	if err != nil {
		reopened, again := bind(closed)
		s.serveLocked(reopened)
		return errors.Join(err, again)
	}
	s.serveLocked(opened)
	for key, ln := range s.open {
		if !wanted[key] {
			ln.Close()
			delete(s.open, key)
		}
	}
	return nil
}

// closeAll closes every listener.
func (s *listenState) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, ln := range s.open {
		ln.Close()
		delete(s.open, key)
	}
}

// drain waits for the sessions to end, and closes those that remain when ctx is done.
func (s *listenState) drain(ctx context.Context) error {
	proxies := s.running()
	failures := make(chan error, len(proxies))
	for _, server := range proxies {
		go func() { failures <- server.Shutdown(ctx) }()
	}
	var errs []error
	for range proxies {
		// Closing sessions at the end of the drain time is no failure.
		if err := <-failures; err != nil && !errors.Is(err, ctx.Err()) {
			errs = append(errs, err)
		}
	}
	s.serving.Wait()
	return errors.Join(errs...)
}

// running returns the proxies.
func (s *listenState) running() (list []*proxy.Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, server := range s.proxies {
		list = append(list, server)
	}
	return list
}

// address returns where a listener is open, with the port it got, or "".
func (s *listenState) address(l config.Listener) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ln := s.open[l.Key()]; ln != nil {
		return ln.Addr().String()
	}
	return ""
}

// alive returns an error for each listener whose accept loop is stuck.
func (s *listenState) alive() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, ln := range s.open {
		errs = append(errs, ln.alive(time.Now()))
	}
	return errors.Join(errs...)
}

// bound is a listener that is open and not served yet.
type bound struct {
	key config.ListenKey
	*beating
}

// bind opens all listeners, or none and returns every reason why not.
func bind(urls []config.Listener) ([]bound, error) {
	var opened []bound
	var errs []error
	for _, l := range urls {
		ln, err := open(l)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.Written, err))
			continue
		}
		opened = append(opened, bound{l.Key(), ln})
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
func open(l config.Listener) (*beating, error) {
	var ln net.Listener
	var err error
	if strings.HasPrefix(l.Address, config.SystemdAddress) {
		ln, err = listenHanded(l, handedSockets())
	} else {
		ln, err = net.Listen("tcp", l.Address)
	}
	if err != nil {
		return nil, err
	}
	return newBeating(ln.(*net.TCPListener)), nil
}

const (
	// perSession is how many descriptors a session needs: one for the client's
	// connection, one for the provider's.
	perSession = 2
	// spareDescriptors are for listeners, the store, refreshes and logs.
	spareDescriptors = 64
)

// sessionsFor returns how many sessions fit into a limit of open files.
func sessionsFor(descriptors int) int {
	return max(0, descriptors-spareDescriptors) / perSession
}

// logDescriptors logs how many sessions the limit of open files allows, and warns
// if the gate admits more: these could not connect to their provider.
func logDescriptors(log *zap.Logger, descriptors, connections int) {
	if descriptors == 0 {
		return
	}
	room := sessionsFor(descriptors)
	fields := []zap.Field{zap.Int("descriptors", descriptors), zap.Int("sessions", room)}
	if connections < 0 || connections > room {
		log.Warn("the limit of open files has room for fewer sessions than the gate admits: raise it (LimitNOFILE= in the unit, ulimit -n), or lower connections under [gate]",
			append(fields, zap.Int("gate", max(0, connections)))...)
		return
	}
	log.Info("room for sessions", fields...)
}
