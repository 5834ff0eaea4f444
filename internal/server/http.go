package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"

	"authferry/internal/admin"
	"authferry/internal/audit"
	"authferry/internal/buildinfo"
	"authferry/internal/check"
	"authferry/internal/config"
	"authferry/internal/config/document"
	"authferry/internal/console"
	"authferry/internal/console/people"
	"authferry/internal/hint"
	"authferry/internal/logging"
	"authferry/internal/mailsettings"
	"authferry/internal/monitor"
	"authferry/internal/protocol"
	"authferry/proxy"
	"authferry/tokens"
)

// openServices opens the monitor, the admin socket and the console: all that the
// configuration names, or none.
func (s *Server) openServices(c *config.Config) error {
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

// openAdmin opens the admin socket.
func (s *Server) openAdmin(c *config.Config) error {
	if c.Admin == "" {
		return nil
	}
	ln, err := admin.Listen(c.Admin)
	if err != nil {
		return hint.New(err, `admin = "PATH" in the configuration puts the socket elsewhere, admin = "none" turns it off`)
	}
	s.admin = admin.Serve(ln, admin.Actions{
		Status: s.Status, Sessions: s.sessions, Kick: s.kick, Sweep: s.sweep, Reload: s.reloadAsked,
		Monitor: s.Monitor,
	}, s.Log)
	return nil
}

// Status reports the version, the listeners and the counters.
func (s *Server) Status() admin.Status {
	c := s.InForce()
	st := admin.Status{
		Version: buildinfo.Current().Version, PID: os.Getpid(), Started: s.started, Config: c.File,
		Metrics: s.metrics.Snapshot(),
	}
	for _, l := range c.Listen {
		if at := s.listeners.address(l); at != "" {
			st.Listeners = append(st.Listeners, admin.Listener{URL: l.Written, Address: at})
		}
	}
	return st
}

// sessions lists the sessions that are logged in, the oldest first.
func (s *Server) sessions() []proxy.SessionInfo {
	var list []proxy.SessionInfo
	for _, server := range s.listeners.running() {
		list = append(list, server.Sessions()...)
	}
	slices.SortFunc(list, func(a, b proxy.SessionInfo) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// kick ends the sessions that match, and returns how many.
func (s *Server) kick(match func(proxy.SessionInfo) bool) (ended int) {
	for _, server := range s.listeners.running() {
		ended += server.Kick(match)
	}
	return ended
}

// sweep ends the sessions whose password has been revoked.
func (s *Server) sweep() {
	for _, server := range s.listeners.running() {
		server.Sweep()
	}
}

// reloadAsked reloads at the request of an administrator.
func (s *Server) reloadAsked(context.Context) error {
	s.Log.Info("reload requested on the admin socket")
	return s.ReloadFile()
}

// newMonitor returns the handler that answers monitors.
func (s *Server) newMonitor() *monitor.Monitor {
	build := buildinfo.Current()
	return monitor.New(monitor.Subject{
		Version: build.Version, Revision: build.Revision,
		Alive: s.whyNotAlive, Ready: s.whyNotReady,
		Proxy: s.metrics, Vault: s.Vault, Alerts: s.Watcher,
		NameMailboxes: func() bool { return s.InForce().NameMailboxes },
		Settings:      s.mailSettings(),
	})
}

// OpenMonitor serves the monitor, if the configuration names an address.
func (s *Server) OpenMonitor(c *config.Config) error {
	if c.Monitor == "" {
		return nil
	}
	ln, err := net.Listen("tcp", c.Monitor)
	if err != nil {
		return hint.New(fmt.Errorf("listening for monitors: %w", err), `monitor = "http://HOST:PORT" in the configuration names another address, monitor = "" turns it off`)
	}
	s.Log.Info("listening for monitors", zap.Stringer("address", ln.Addr()))
	s.Monitored = monitor.Serve(ln, s.Monitor, s.Log)
	return nil
}

func (s *Server) closeMonitor() error {
	if s.Monitored == nil {
		return nil
	}
	return s.Monitored.Close()
}

// whyNotAlive returns why the process should be restarted.
func (s *Server) whyNotAlive(context.Context) []error {
	if err := s.listeners.alive(); err != nil {
		return []error{err}
	}
	return nil
}

// whyNotReady returns why no client should be sent here now.
func (s *Server) whyNotReady(ctx context.Context) (why []error) {
	if s.isStopping() {
		why = append(why, errors.New("authferry is stopping: new connections are not accepted, sessions may end by themselves"))
	}
	why = append(why, s.whyNotAlive(ctx)...)
	if err := s.Vault.Usable(ctx); err != nil {
		why = append(why, err)
	}
	return why
}

// openConsole serves the console, if the configuration names an address.
func (s *Server) openConsole(c *config.Config) error {
	if c.Console.Written == "" {
		return nil
	}
	ln, err := net.Listen("tcp", c.Console.Address)
	if err != nil {
		return hint.New(fmt.Errorf("the console: %w", err), `console = "http://127.0.0.1:PORT" in the configuration puts it elsewhere, "" turns it off`)
	}
	s.consoleAt = ln.Addr().String()
	if c.Console.TLS {
		ln = tls.NewListener(ln, &tls.Config{
			MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
			GetCertificate: s.certificate.get,
		})
	}
	s.pages = console.New(s.ConsoleDeps())
	s.console = &http.Server{
		Handler: s.pages, ErrorLog: zap.NewStdLog(s.Log.Named("console")),
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: 3 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
	}
	s.Log.Info("console", zap.String("url", s.Access().URL))
	s.serving.Go(func() {
		if err := s.console.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			s.fail(fmt.Errorf("the console on %s: %w", s.consoleAt, err))
		}
	})
	return nil
}

// consoleDrain bounds how long requests may take to finish when authferry stops.
const consoleDrain = 3 * time.Second

func (s *Server) closeConsole() {
	if s.console == nil {
		return
	}
	defer s.pages.Close()
	ctx, cancel := context.WithTimeout(context.Background(), consoleDrain)
	defer cancel()
	if err := s.console.Shutdown(ctx); err != nil {
		s.console.Close()
	}
}

// Welcome tells the operator how the first administrator signs in to the console.
// The link itself is printed on terminals only: a log is kept, and other people
// read it.
func (s *Server) Welcome(w io.Writer) {
	if s.pages == nil {
		return
	}
	ctx := context.Background()
	some, err := s.pages.HasAdministrator(ctx)
	switch {
	case err != nil:
		s.Log.Error("the console cannot tell who may sign in", zap.Error(err))
	case some:
	case !logging.IsTerminal(w):
		s.Log.Warn("no administrator can sign in to the console yet: `authferry console link` prints a link for the first administrator")
	default:
		link, _, err := people.NewLink(ctx, s.Vault, people.LinkOptions{URL: s.Access().URL})
		if err != nil {
			s.Log.Error("the console cannot make a link for the first administrator", zap.Error(err))
			return
		}
		fmt.Fprintf(w, "\nTo sign in to the console as its first administrator, within 15 minutes:\n\n%s\n\n", link.Reveal())
	}
}

// Access returns how the console is reached under the configuration in force.
func (s *Server) Access() console.Access {
	c := s.InForce()
	a := c.Console.Access
	return console.Access{
		URL: c.Console.URL(s.consoleAt, c.Hostname), Names: slices.Concat(a.Names, c.TLS.ACME.Hosts),
		Header: a.Header, Trusted: a.Trusted, Administrators: a.Administrators,
	}
}

// ConsoleDeps returns what the console works on.
func (s *Server) ConsoleDeps() console.Deps {
	b := console.Deps{
		Version: buildinfo.Current().Version, Log: s.Log, Vault: s.Vault, Providers: s.providers, Access: s.Access,
		Servers: s.mailServers, Sessions: s.sessions, Kick: s.kick, Sweep: s.sweep,
		Settings: func() (string, []document.Setting) { c := s.InForce(); return c.File, c.Keys },
	}
	b.Cards = func(mailbox, language string) []mailsettings.Card {
		return mailsettings.Cards(CardMailbox(s.InForce(), mailbox), s.mailServices(), language)
	}
	b.MailSettings = s.mailSettings()
	b.Check = s.checkMailbox
	b.Logins = func(q console.LoginQuery) ([]console.LoginAttempt, error) { return readLogins(s.InForce(), q) }
	return b
}

// checkMailbox runs `authferry check MAILBOX` for the console, with the open store.
func (s *Server) checkMailbox(ctx context.Context, mailbox string, report func(check.Step)) {
	c := s.InForce()
	check.Run(ctx, check.Subject{
		Config: c.File, Store: c.StateDir, Seal: c.Seal, Providers: c.Settings.Providers, Hostname: c.Hostname,
		Mailboxes: []string{mailbox},
		Open:      func() (*tokens.Vault, error) { return s.Vault, nil },
	}, report)
}

// mailServers returns mailServices in the form that the console shows.
func (s *Server) mailServers() (list []mailsettings.Server) {
	for _, m := range s.mailServices() {
		list = append(list, mailsettings.Server{Protocol: m.Protocol, Host: m.Host, Port: m.Port, Security: SecurityName(m.Security)})
	}
	return list
}

// mailServices returns the listeners for mail programs, with the ports they got.
func (s *Server) mailServices() []mailsettings.Service {
	bound := map[string]string{}
	for _, l := range s.Status().Listeners {
		bound[l.URL] = l.Address
	}
	return MailServices(s.InForce(), bound)
}

// mailSettings answers mail programs that ask for their settings over HTTP.
func (s *Server) mailSettings() *mailsettings.Responder {
	return &mailsettings.Responder{
		Services: s.mailServices,
		Domains: func(ctx context.Context) (map[string]bool, error) {
			return mailDomains(ctx, s.InForce(), s.Vault)
		},
		Certificate: func() (*tls.Certificate, error) {
			source := s.certificate.source.Load()
			if source == nil {
				return nil, nil
			}
			return source.Get(modernHello)
		},
		Log: s.Log,
	}
}

// readLogins reads the record of logins for the console, the newest first.
func readLogins(c *config.Config, q console.LoginQuery) ([]console.LoginAttempt, error) {
	which := q.Mailboxes
	if len(which) == 0 {
		which = []string{""}
	}
	list := []console.LoginAttempt{}
	for _, mailbox := range which {
		entries, err := audit.Read(audit.DirIn(c.StateDir), audit.Query{Mailbox: mailbox, Failed: q.Failed, Last: q.Last})
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			list = append(list, console.LoginAttempt{
				At: e.Time, Protocol: protocol.Protocol(e.Protocol), From: withoutPort(e.Client), User: e.User, Mailbox: e.Mailbox, Password: e.Password,
				Program: e.Program, OK: e.OK(), Result: e.Result, Cause: e.Cause, Times: e.Times(),
			})
		}
	}
	slices.SortStableFunc(list, func(a, b console.LoginAttempt) int { return b.At.Compare(a.At) })
	return list[:min(len(list), q.Last)], nil
}

// withoutPort returns the address of a client without its port.
func withoutPort(client string) string {
	if at, err := netip.ParseAddrPort(client); err == nil {
		return at.Addr().String()
	}
	return client
}
