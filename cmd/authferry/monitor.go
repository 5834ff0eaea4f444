package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"go.uber.org/zap"

	"authferry/internal/monitor"
)

// newMonitor makes what answers monitors about this service, on whichever address.
func (s *service) newMonitor() *monitor.Monitor {
	build := thisBuild()
	return monitor.NewMonitor(monitor.Subject{
		Version: build.Version, Revision: build.Revision,
		Alive: s.whyNotAlive, Ready: s.whyNotReady,
		Proxy: s.metrics, Vault: s.vault, Alerts: s.watcher,
		NameMailboxes: func() bool { return s.config.Load().nameMailboxes },
		Settings:      s.mailSettings(),
	})
}

// openMonitor lets monitors ask, if the configuration says where.
func (s *service) openMonitor(c *config) error {
	if c.monitor == "" {
		return nil
	}
	ln, err := net.Listen("tcp", c.monitor)
	if err != nil {
		return failed(fmt.Errorf("listening for monitors: %w", err), `monitor = "http://HOST:PORT" in the configuration names another address, monitor = "" does without`)
	}
	s.log.Info("monitors may ask", zap.Stringer("address", ln.Addr()))
	s.monitored = monitor.Serve(ln, s.monitor, s.log)
	return nil
}

// openDoors opens what is not for mail programs: all doors, or none.
func (s *service) openDoors(c *config) error {
	if err := s.openMonitor(c); err != nil {
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

func (s *service) closeMonitor() error {
	if s.monitored == nil {
		return nil
	}
	return s.monitored.Close()
}

// whyNotAlive is why the process should be started anew.
func (s *service) whyNotAlive(ctx context.Context) []error {
	if err := s.alive(ctx); err != nil {
		return []error{err}
	}
	return nil
}

// whyNotReady is why nobody should be sent here now.
func (s *service) whyNotReady(ctx context.Context) (why []error) {
	s.mu.Lock()
	stopping := s.stopping
	s.mu.Unlock()
	if stopping {
		why = append(why, errors.New("authferry is stopping: new connections are not accepted, sessions may end by themselves"))
	}
	why = append(why, s.whyNotAlive(ctx)...)
	if err := s.vault.Usable(ctx); err != nil {
		why = append(why, err)
	}
	return why
}
