package server

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

	"authferry/internal/config"
)

// run serves until a signal says otherwise.
func (s *Server) Run(signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	logDescriptors(s.Log, DescriptorLimit(), s.Config.Load().Gate.Connections)
	s.Log.Info("authferry ready")
	tellSystemd(daemon.SdNotifyReady)
	watching.Go(func() { s.watchdog(ctx) })
	for {
		select {
		case err := <-s.Failures:
			s.Log.Error("a listener failed", zap.Error(err))
			s.stop(signals)
			return err
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				s.Log.Info("stopping", zap.Stringer("signal", sig), zap.Duration("drain", s.Config.Load().Drain))
				return s.stop(signals)
			}
			s.ReloadFile()
		}
	}
}

// stop closes the listeners and lets sessions end by themselves for a while,
// which a further signal cuts short.
func (s *Server) stop(signals <-chan os.Signal) error {
	tellSystemd(daemon.SdNotifyStopping)
	ctx, cancel := context.WithTimeout(context.Background(), s.Config.Load().Drain)
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

// reloadFile puts the configuration file in force, or says why not, in the log
// and as an error with a line for each complaint.
func (s *Server) ReloadFile() error {
	tellSystemd(reloading())
	defer tellSystemd(daemon.SdNotifyReady)
	c, err := config.Load(s.Config.Load().File)
	if err == nil {
		err = s.Reload(c)
	}
	if err == nil {
		s.Log.Info("configuration reloaded", c.Effective()...)
		return nil
	}
	logComplaints(s.Log, "configuration refused", err)
	s.Log.Error("the configuration in force stays")
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
const VaultClose = 5 * time.Second

// shutdown ends everything. Sessions have until ctx is done.
func (s *Server) Shutdown(ctx context.Context) error {
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
	ctx, cancel := context.WithTimeout(context.Background(), VaultClose)
	defer cancel()
	if err := s.Vault.Close(ctx); err != nil {
		errs = append(errs, fmt.Errorf("closing the store: %w", err))
	}
	if err := s.release(); err != nil {
		errs = append(errs, err)
	}
	s.Log.Info("authferry stopped")
	return errors.Join(errs...)
}
