package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"

	"authferry/internal/audit"
	"authferry/internal/buildinfo"
	"authferry/internal/config"
	"authferry/internal/config/document"
	"authferry/internal/console"
	"authferry/internal/console/people"
	"authferry/internal/hint"
	"authferry/internal/logging"
	"authferry/internal/mailsettings"
	"authferry/internal/protocol"
)

// openConsole serves the console, if there is to be one.
func (s *Server) openConsole(c *config.Config) error {
	if c.Console.Written == "" {
		return nil
	}
	ln, err := net.Listen("tcp", c.Console.Address)
	if err != nil {
		return hint.New(fmt.Errorf("the console: %w", err), `console = "http://127.0.0.1:PORT" in the configuration puts it elsewhere, "" does without`)
	}
	s.ConsoleAt = ln.Addr().String()
	if c.Console.TLS {
		ln = tls.NewListener(ln, &tls.Config{
			MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
			GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) { return s.certificate.Load().Get(hello) },
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
			select {
			case s.Failures <- fmt.Errorf("the console on %s: %w", s.ConsoleAt, err):
			default: // one is enough to stop
			}
		}
	})
	return nil
}

// consoleDrain is how long requests may go on when authferry stops.
const consoleDrain = 3 * time.Second

func (s *Server) closeConsole() {
	if s.console == nil {
		return
	}
	defer s.pages.Close()
	ctx, cancel := context.WithTimeout(context.Background(), consoleDrain)
	defer cancel()
	if err := s.console.Shutdown(ctx); err != nil {
		s.console.Close() // whoever is still being answered has to do without
	}
}

// welcome says how the first administrator gets in. The link itself is for the
// person at the terminal; a log is read by others, and kept.
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
		s.Log.Warn("nobody can sign in to the console yet: `authferry console link` prints a link for the first administrator")
	default:
		link, _, err := people.NewLink(ctx, s.Vault, people.LinkOptions{URL: s.Access().URL})
		if err != nil {
			s.Log.Error("the console cannot let the first administrator in", zap.Error(err))
			return
		}
		fmt.Fprintf(w, "\nTo sign in to the console as its first administrator, within 15 minutes:\n\n%s\n\n", link.Reveal())
	}
}

// access is how the console is reached under the configuration in force.
func (s *Server) Access() console.Access {
	c := s.Config.Load()
	a := c.Console.Access
	return console.Access{
		URL: c.Console.Url(s.ConsoleAt, c.Hostname), Names: slices.Concat(a.Names, c.TLS.ACME.Hosts),
		Header: a.Header, Trusted: a.Trusted, Administrators: a.Administrators,
	}
}

// ConsoleDeps returns what the console works on.
func (s *Server) ConsoleDeps() console.Deps {
	b := console.Deps{
		Version: buildinfo.Current().Version, Log: s.Log, Vault: s.Vault, Providers: s.providers, Access: s.Access,
		Servers: s.mailServers, Sessions: s.sessions, Kick: s.kick, Sweep: s.sweep,
		Settings: func() (string, []document.Setting) { c := s.Config.Load(); return c.File, c.Keys },
	}
	b.Cards = func(mailbox, language string) []mailsettings.Card {
		return mailsettings.Cards(CardMailbox(s.Config.Load(), mailbox), s.mailServices(), language)
	}
	b.MailSettings = s.mailSettings()
	b.Check = s.checkMailbox
	b.Logins = func(q console.LoginQuery) ([]console.LoginAttempt, error) { return readLogins(s.Config.Load(), q) }
	return b
}

// mailServers is what people are told of mailServices.
func (s *Server) mailServers() (list []mailsettings.Server) {
	for _, m := range s.mailServices() {
		list = append(list, mailsettings.Server{Protocol: m.Protocol, Host: m.Host, Port: m.Port, Security: SecurityName(m.Security)})
	}
	return list
}

// readLogins reads the record of logins for the console, the newest first.
func readLogins(c *config.Config, q console.LoginQuery) ([]console.LoginAttempt, error) {
	which := q.Mailboxes
	if len(which) == 0 {
		which = []string{""}
	}
	list := []console.LoginAttempt{}
	for _, mailbox := range which {
		entries, err := audit.Read(audit.DirIn(c.Store), audit.Query{Mailbox: mailbox, Failed: q.Failed, Last: q.Last})
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

// withoutPort is an address as people tell them apart.
func withoutPort(client string) string {
	if at, err := netip.ParseAddrPort(client); err == nil {
		return at.Addr().String()
	}
	return client
}
