package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
)

// run serves until a signal says otherwise.
func (s *service) run(signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	logDescriptors(s.log, descriptorLimit(), s.config.Load().gate.Connections)
	s.log.Info("authferry ready")
	tellSystemd(daemon.SdNotifyReady)
	watching.Go(func() { s.watchdog(ctx) })
	for {
		select {
		case err := <-s.failures:
			s.log.Error("a listener failed", zap.Error(err))
			s.stop(signals)
			return err
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				s.log.Info("stopping", zap.Stringer("signal", sig), zap.Duration("drain", s.config.Load().drain))
				return s.stop(signals)
			}
			s.reloadFile()
		}
	}
}

// stop closes the listeners and lets sessions end by themselves for a while,
// which a further signal cuts short.
func (s *service) stop(signals <-chan os.Signal) error {
	tellSystemd(daemon.SdNotifyStopping)
	ctx, cancel := context.WithTimeout(context.Background(), s.config.Load().drain)
	defer cancel()
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case sig := <-signals:
				if sig != syscall.SIGHUP {
					s.log.Info("stopping at once", zap.Stringer("signal", sig))
					cancel()
				}
			case <-done:
				return
			}
		}
	}()
	return s.shutdown(ctx)
}

// reloadFile puts the configuration file in force, or says why not, in the log
// and as an error with a line for each complaint.
func (s *service) reloadFile() error {
	tellSystemd(reloading())
	defer tellSystemd(daemon.SdNotifyReady)
	c, err := loadConfig(s.config.Load().file)
	if err == nil {
		err = s.reload(c)
	}
	if err == nil {
		s.log.Info("configuration reloaded", c.effective()...)
		return nil
	}
	logComplaints(s.log, "configuration refused", err)
	s.log.Error("the configuration in force stays")
	return err
}

// reloading is what systemd wants to hear first of a service of type
// notify-reload: sd_notify(3).
func reloading() string {
	return daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec()
}

// tellSystemd tells the service manager about us, if there is one.
func tellSystemd(state string) { daemon.SdNotify(false, state) }

// vaultClose bounds the writing down of when passwords were used.
const vaultClose = 5 * time.Second

// shutdown ends everything. Sessions have until ctx is done.
func (s *service) shutdown(ctx context.Context) error {
	s.closeListeners()
	s.closeConsole()
	if s.admin != nil {
		defer s.admin.Close() // sessions that drain can be looked at
	}
	defer s.closeMonitor()
	s.stopTending()
	s.rest()
	failures := make(chan error, len(s.servers))
	for _, server := range s.servers {
		go func() { failures <- server.Shutdown(ctx) }()
	}
	var errs []error
	for range s.servers {
		// Sessions that had to be cut off are the drain time's doing, no failure.
		if err := <-failures; err != nil && !errors.Is(err, ctx.Err()) {
			errs = append(errs, err)
		}
	}
	s.serving.Wait()
	s.audit.Close()
	ctx, cancel := context.WithTimeout(context.Background(), vaultClose)
	defer cancel()
	if err := s.vault.Close(ctx); err != nil {
		errs = append(errs, fmt.Errorf("closing the store: %w", err))
	}
	if err := s.release(); err != nil {
		errs = append(errs, err)
	}
	s.log.Info("authferry stopped")
	return errors.Join(errs...)
}
