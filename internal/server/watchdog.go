package server

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
)

// watchdog tells systemd at half the time it allows that every listener still
// accepts, and does not tell it while one does not: then systemd ends the
// process and starts it anew (WatchdogSec= in the unit). It returns when ctx is
// done, or at once if nobody watches.
func (s *Server) watchdog(ctx context.Context) {
	allowed, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.Log.Warn("the watchdog of systemd cannot be understood; it is not told that authferry lives", zap.Error(err))
	}
	if err != nil || allowed == 0 {
		return
	}
	s.Log.Info("watched by systemd", zap.Duration("every", allowed))
	tick := time.NewTicker(allowed / 2)
	defer tick.Stop()
	for {
		if err := s.alive(ctx); err != nil {
			s.Log.Error("not alive: systemd will start authferry anew", zap.Error(err))
		} else {
			tellSystemd(daemon.SdNotifyWatchdog)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
