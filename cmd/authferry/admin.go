package main

import (
	"cmp"
	"context"
	"os"
	"slices"
	"strings"

	"go.uber.org/zap"

	"authferry/admin"
	"authferry/proxy"
)

// openAdmin lets administrators in.
func (s *service) openAdmin(c *config) error {
	if c.admin == "" {
		return nil
	}
	ln, err := admin.Listen(c.admin)
	if err != nil {
		return failed(err, `admin = "PATH" in the configuration puts the socket elsewhere, admin = "none" does without`)
	}
	s.admin = admin.Serve(ln, admin.Actions{
		Status: s.status, Sessions: s.sessions, Kick: s.kick, Sweep: s.sweep, Reload: s.reloadAsked,
		Monitor: s.monitor,
	}, s.log)
	return nil
}

// status is what the service says of itself.
func (s *service) status() admin.Status {
	c := s.config.Load()
	st := admin.Status{
		Version: thisBuild().Version, PID: os.Getpid(), Started: s.started, Config: c.file,
		Metrics: s.metrics.Snapshot(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range c.listen {
		if ln := s.listeners[l.key()]; ln != nil {
			st.Listeners = append(st.Listeners, admin.Listener{URL: l.written, Address: ln.Addr().String()})
		}
	}
	return st
}

// running are the servers there are.
func (s *service) running() []*proxy.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*proxy.Server
	for _, server := range s.servers {
		list = append(list, server)
	}
	return list
}

// sessions lists everybody who is logged in, the oldest first.
func (s *service) sessions() []proxy.SessionInfo {
	var list []proxy.SessionInfo
	for _, server := range s.running() {
		list = append(list, server.Sessions()...)
	}
	slices.SortFunc(list, func(a, b proxy.SessionInfo) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

func (s *service) kick(match func(proxy.SessionInfo) bool) (ended int) {
	for _, server := range s.running() {
		ended += server.Kick(match)
	}
	return ended
}

func (s *service) sweep() {
	for _, server := range s.running() {
		server.Sweep()
	}
}

// reloadAsked reloads because an administrator asked, and tells the service
// manager as SIGHUP does.
func (s *service) reloadAsked(context.Context) error {
	s.log.Info("reload asked for on the admin socket")
	return s.reloadFile()
}

// logComplaints logs each line of an error.
func logComplaints(log *zap.Logger, message string, err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		log.Error(message, zap.String("complaint", line))
	}
}
