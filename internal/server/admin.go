package server

import (
	"cmp"
	"context"
	"os"
	"slices"
	"strings"

	"go.uber.org/zap"

	"authferry/internal/admin"
	"authferry/internal/buildinfo"
	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/proxy"
)

// openAdmin lets administrators in.
func (s *Server) openAdmin(c *config.Config) error {
	if c.Admin == "" {
		return nil
	}
	ln, err := admin.Listen(c.Admin)
	if err != nil {
		return hint.New(err, `admin = "PATH" in the configuration puts the socket elsewhere, admin = "none" does without`)
	}
	s.admin = admin.Serve(ln, admin.Actions{
		Status: s.Status, Sessions: s.sessions, Kick: s.kick, Sweep: s.sweep, Reload: s.reloadAsked,
		Monitor: s.Monitor,
	}, s.Log)
	return nil
}

// status is what the service says of itself.
func (s *Server) Status() admin.Status {
	c := s.Config.Load()
	st := admin.Status{
		Version: buildinfo.Current().Version, PID: os.Getpid(), Started: s.started, Config: c.File,
		Metrics: s.metrics.Snapshot(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range c.Listen {
		if ln := s.listeners[l.Key()]; ln != nil {
			st.Listeners = append(st.Listeners, admin.Listener{URL: l.Written, Address: ln.Addr().String()})
		}
	}
	return st
}

// running are the servers there are.
func (s *Server) running() []*proxy.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*proxy.Server
	for _, server := range s.servers {
		list = append(list, server)
	}
	return list
}

// sessions lists everybody who is logged in, the oldest first.
func (s *Server) sessions() []proxy.SessionInfo {
	var list []proxy.SessionInfo
	for _, server := range s.running() {
		list = append(list, server.Sessions()...)
	}
	slices.SortFunc(list, func(a, b proxy.SessionInfo) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

func (s *Server) kick(match func(proxy.SessionInfo) bool) (ended int) {
	for _, server := range s.running() {
		ended += server.Kick(match)
	}
	return ended
}

func (s *Server) sweep() {
	for _, server := range s.running() {
		server.Sweep()
	}
}

// reloadAsked reloads because an administrator asked, and tells the service
// manager as SIGHUP does.
func (s *Server) reloadAsked(context.Context) error {
	s.Log.Info("reload asked for on the admin socket")
	return s.ReloadFile()
}

// logComplaints logs each line of an error.
func logComplaints(log *zap.Logger, message string, err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		log.Error(message, zap.String("complaint", line))
	}
}
