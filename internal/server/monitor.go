package server

import (
	"context"
	"errors"
	"fmt"
	"net"

	"go.uber.org/zap"

	"authferry/internal/buildinfo"
	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/internal/monitor"
)

// newMonitor makes what answers monitors about this service, on whichever address.
func (s *Server) newMonitor() *monitor.Monitor {
	build := buildinfo.Current()
	return monitor.New(monitor.Subject{
		Version: build.Version, Revision: build.Revision,
		Alive: s.whyNotAlive, Ready: s.whyNotReady,
		Proxy: s.metrics, Vault: s.Vault, Alerts: s.Watcher,
		NameMailboxes: func() bool { return s.Config.Load().NameMailboxes },
		Settings:      s.mailSettings(),
	})
}

// openMonitor lets monitors ask, if the configuration says where.
func (s *Server) OpenMonitor(c *config.Config) error {
	if c.Monitor == "" {
		return nil
	}
	ln, err := net.Listen("tcp", c.Monitor)
	if err != nil {
		return hint.New(fmt.Errorf("listening for monitors: %w", err), `monitor = "http://HOST:PORT" in the configuration names another address, monitor = "" does without`)
	}
	s.Log.Info("monitors may ask", zap.Stringer("address", ln.Addr()))
	s.Monitored = monitor.Serve(ln, s.Monitor, s.Log)
	return nil
}

// openDoors opens what is not for mail programs: all doors, or none.
func (s *Server) openDoors(c *config.Config) error {
	if err := s.OpenMonitor(c); err != nil {
		return err
	}
	err := s.openAdmin(c)
	if err == nil {
		if err = s.openConsole(c); err != nil && s.admin != nil {
			err = errors.Join(err, s.admin.Close())
		}
	}
	if err != nil {
		err = errors.Join(err, s.closeMonitor())
	}
	return err
}

func (s *Server) closeMonitor() error {
	if s.Monitored == nil {
		return nil
	}
	return s.Monitored.Close()
}

// whyNotAlive is why the process should be started anew.
func (s *Server) whyNotAlive(ctx context.Context) []error {
	if err := s.alive(ctx); err != nil {
		return []error{err}
	}
	return nil
}

// whyNotReady is why nobody should be sent here now.
func (s *Server) whyNotReady(ctx context.Context) (why []error) {
	s.mu.Lock()
	stopping := s.stopping
	s.mu.Unlock()
	if stopping {
		why = append(why, errors.New("authferry is stopping: new connections are not accepted, sessions may end by themselves"))
	}
	why = append(why, s.whyNotAlive(ctx)...)
	if err := s.Vault.Usable(ctx); err != nil {
		why = append(why, err)
	}
	return why
}
