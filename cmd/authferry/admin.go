package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"authferry/admin"
	"authferry/proxy"
)

// adminNone switches the admin socket off.
const adminNone = "none"

// readAdmin reads where the admin socket is: in the store's directory unless
// the configuration says otherwise, "" if there is to be none.
func readAdmin(t *table, store string) string {
	switch text := t.text("admin", ""); text {
	case "":
		return admin.PathIn(store)
	case adminNone:
		return ""
	default:
		return t.doc.resolve(text)
	}
}

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

// nudge tells the server that is running, if there is one, that a password or
// a mailbox is gone: its sessions end at once. Without it they end at the next
// sweep, so that nobody has to hear that it failed.
func nudge(ctx context.Context, c *config) {
	if c.admin != "" {
		_ = admin.NewClient(c.admin).Sweep(ctx)
	}
}

// configForAdmin reads of a configuration only where the admin socket is: what
// a server runs with need not be what its file says by now, and the file may be
// the very thing that has to be mended.
func configForAdmin(cmd *cobra.Command) (*config, error) {
	path, err := configOf(cmd)
	if err != nil {
		return nil, err
	}
	doc, root, err := openDocument(path)
	if err != nil {
		return nil, err
	}
	c := &config{file: doc.file, monitor: readMonitor(root)}
	c.readStore(root)
	c.admin = readAdmin(root, c.store)
	return c, nil
}

// adminClient asks the server that runs under a configuration.
func adminClient(c *config) (*admin.Client, error) {
	if c.admin == "" {
		return nil, failed(errors.New(`the admin socket is switched off: admin = "none"`), "change that in %s and restart authferry", c.file)
	}
	return admin.NewClient(c.admin), nil
}

// notRunning adds what to do about a server that does not answer.
func notRunning(err error, c *config) error {
	if errors.Is(err, admin.ErrNotRunning) {
		return failed(err, "start it with `authferry serve`, or name its configuration with --config (this is %s); only root and the user it runs as may ask it", c.file)
	}
	return err
}

// logComplaints logs each line of an error.
func logComplaints(log *zap.Logger, message string, err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		log.Error(message, zap.String("complaint", line))
	}
}
