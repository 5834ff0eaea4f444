package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"authferry/demo"
	"authferry/internal/config"
	"authferry/internal/config/document"
	"authferry/internal/console/people"
	"authferry/internal/logging"
	"authferry/internal/roundtrip"
	"authferry/internal/secret"
	"authferry/internal/server"
	"authferry/tokens"
	"authferry/tokens/oauth/loopback"
)

const (
	demoMailbox = "demo@gmail.com"
	// demoSecond is for trying `authferry connect`.
	demoSecond = "second@gmail.com"
	// demoPassword is the name of the local password, not the password.
	demoPassword = "demo"
)

func demoCommand() *cobra.Command {
	var check bool
	var dir string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Try authferry with a simulated Gmail",
		Long: `Run authferry and a simulated Gmail on this machine, without an account. Mail
programs and curl can log in with a password at once, and what happens is
logged. Nothing leaves the machine, and nothing is left behind.

With --check, send and read mail over IMAP, POP3 and SMTP, print the results and
exit.`,
		Example: `  authferry demo
  authferry demo --check`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := document.ForgetEnvironment(); err != nil { // it is for a real server
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return runDemo(ctx, cmd, dir, check)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "send and read mail over the three protocols, then exit")
	cmd.Flags().StringVar(&dir, "dir", "", "keep the state in this `DIRECTORY` (default a temporary one)")
	cmd.MarkFlagDirname("dir")
	return cmd
}

func runDemo(ctx context.Context, cmd *cobra.Command, dir string, check bool) (err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "authferry-demo-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var log io.Writer = cmd.ErrOrStderr()
	if check {
		log = io.Discard
	}
	s, err := startShow(ctx, dir, log, !check)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if check {
		return roundtrip.Run(ctx, cmd.OutOrStdout(), s.roundTrip())
	}
	if err := s.banner(cmd.OutOrStdout()); err != nil {
		return err
	}
	s.level.SetLevel(zap.InfoLevel) // the banner says what happened so far
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.service.Failures:
		return err
	}
}

// show is a simulated Gmail with authferry in front of it.
type show struct {
	dir      string
	gmail    *demo.Provider
	service  *server.Server
	level    zap.AtomicLevel
	password secret.String // of demoMailbox
	console  bool
}

// startShow starts both and connects the mailbox, as a person would.
func startShow(ctx context.Context, dir string, logTo io.Writer, usualPorts bool) (_ *show, err error) {
	s := &show{dir: dir, console: true}
	log, level := logging.New(logging.Config{Level: zap.WarnLevel, Format: "console"}, logTo)
	s.level = level
	gmailLog := log.Named("gmail")
	s.gmail, err = demo.Start(demo.Options{
		Mailboxes: []string{demoMailbox, demoSecond},
		Log:       func(line string) { gmailLog.Info(line) },
	})
	if err != nil {
		return nil, fmt.Errorf("starting the simulated Gmail: %w", err)
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if err := s.gmail.Deliver(demoMailbox, []byte(welcomeMail)); err != nil {
		return nil, err
	}
	c, err := s.configure(usualPorts)
	if err != nil {
		return nil, err
	}
	if s.service, err = server.Start(c, log.Named("authferry"), level); err != nil {
		return nil, err
	}
	return s, s.connect(ctx, c)
}

// configure writes a configuration file, so that other commands can use it, and
// loads it as serve does.
func (s *show) configure(usualPorts bool) (*config.Config, error) {
	if err := os.WriteFile(filepath.Join(s.dir, "gmail-ca.pem"), s.gmail.CAPEM, 0o644); err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by authferry demo, which deletes it when it ends.\nlisten = [%q, %q, %q]\nstore = \"file:state\"\n",
		"imap://"+demoAddress(1143, usualPorts), "pop3://"+demoAddress(1110, usualPorts), "smtp://"+demoAddress(1587, usualPorts))
	if s.console {
		fmt.Fprintf(&b, "console = %q\n", "http://"+demoAddress(8025, usualPorts))
	}
	fmt.Fprintf(&b, "\n[provider.gmail]\nauth_url = %q\ntoken_url = %q\nclient_id = %q\nclient_secret = %q\n",
		s.gmail.AuthURL, s.gmail.TokenURL, s.gmail.ClientID, s.gmail.ClientSecret)
	fmt.Fprintf(&b, "revoke_url = %q\nuserinfo_url = %q\ndevice_url = %q\n",
		s.gmail.RevokeURL, s.gmail.UserInfoURL, s.gmail.DeviceURL)
	fmt.Fprintf(&b, "imap = \"imaps://%s\"\npop3 = \"pop3s://%s\"\nsmtp = \"smtps://%s\"\nca_file = \"gmail-ca.pem\"\n",
		s.gmail.IMAP, s.gmail.POP3, s.gmail.SMTP)
	path := s.configPath()
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		return nil, err
	}
	return config.Load(path)
}

func (s *show) configPath() string { return filepath.Join(s.dir, "config.toml") }

// demoAddress returns the usual address of a protocol if it is free, otherwise any.
func demoAddress(port int, usual bool) string {
	const any = "127.0.0.1:0"
	if !usual {
		return any
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return any
	}
	ln.Close()
	return address
}

// connect gives consent on the simulated Gmail's page and creates a local password.
func (s *show) connect(ctx context.Context, c *config.Config) error {
	p := c.Settings.Providers["gmail"]
	loopback, err := loopback.Listen(p.RedirectHost, 0)
	if err != nil {
		return err
	}
	defer loopback.Close()
	consent, err := p.NewConsent(loopback.URL, demoMailbox)
	if err != nil {
		return err
	}
	redirected, err := s.gmail.Consent(consent.URL, demoMailbox)
	if err != nil {
		return err
	}
	token, err := consent.Finish(ctx, redirected)
	if err != nil {
		return err
	}
	if err := s.service.Vault.Connect(ctx, tokens.Connection{Mailbox: demoMailbox, Provider: p.Name, Token: token}); err != nil {
		return err
	}
	// A directory that was kept has a password already, which cannot be shown again.
	s.service.Vault.RevokePassword(ctx, demoMailbox, demoPassword)
	s.password, err = s.service.Vault.AddPassword(ctx, demoMailbox, tokens.PasswordSpec{Name: demoPassword})
	return err
}

// drainDemo bounds the end of sessions, which carry no real mail.
const drainDemo = time.Second

func (s *show) close() error {
	var err error
	if s.service != nil {
		ctx, cancel := context.WithTimeout(context.Background(), drainDemo)
		defer cancel()
		err = s.service.Shutdown(ctx)
	}
	return errors.Join(err, s.gmail.Close())
}

const welcomeMail = "From: The Ferryman <ferryman@example.org>\r\n" +
	"To: " + demoMailbox + "\r\n" +
	"Subject: Welcome aboard\r\n" +
	"Date: Fri, 20 Nov 2026 12:00:00 +0000\r\n" +
	"Message-ID: <welcome@demo.authferry>\r\n" +
	"MIME-Version: 1.0\r\n" +
	"Content-Type: text/plain; charset=utf-8\r\n" +
	"\r\n" +
	"You are reading this with a password, from a mailbox that accepts only OAuth.\r\n"

// roundTrip names the demo to package roundtrip.
func (s *show) roundTrip() roundtrip.Options {
	return roundtrip.Options{
		IMAP: s.service.Address("imap"), POP3: s.service.Address("pop3"), SMTP: s.service.Address("smtp"),
		Mailbox: demoMailbox, Password: s.password,
		ExpireTokens: s.gmail.ExpireAccessTokens,
		Refreshes:    func() int { return s.gmail.TokenCalls("refresh_token") },
	}
}

// banner prints what is needed to try the demo, on a screen of 80x24.
func (s *show) banner(w io.Writer) error {
	imap, pop3, smtp := s.service.Address("imap"), s.service.Address("pop3"), s.service.Address("smtp")
	var b strings.Builder
	b.WriteString("A simulated Gmail that accepts only OAuth, and authferry in front of it.\n\n")
	fmt.Fprintf(&b, "        host        port   user name        password             encryption\n")
	for _, p := range []struct{ name, address string }{{"IMAP", imap}, {"POP3", pop3}, {"SMTP", smtp}} {
		host, port, _ := net.SplitHostPort(p.address)
		fmt.Fprintf(&b, "  %s  %-10s  %-5s  %-15s  %-19s  none\n", p.name, host, port, demoMailbox, s.password.Reveal())
	}
	user := demoMailbox + ":" + strings.ReplaceAll(s.password.Reveal(), " ", "")
	b.WriteString("\nPaste into another terminal, to send, to list, and to read twice:\n")
	fmt.Fprintf(&b, "printf 'Subject: Hello\\n\\nSent by curl.\\n' | curl -s --crlf -T - \\\n")
	fmt.Fprintf(&b, "  -u %s \\\n  --mail-from %s --mail-rcpt %s smtp://%s\n", user, demoMailbox, demoMailbox, smtp)
	fmt.Fprintf(&b, "curl -s -u %s imap://%s\n", user, imap)
	fmt.Fprintf(&b, "curl -s -u %s \\\n  'imap://%s/INBOX;MAILINDEX=*'\n", user, imap)
	fmt.Fprintf(&b, "curl -s -u %s pop3://%s/1\n", user, pop3)
	link, _, err := people.NewLink(context.Background(), s.service.Vault, people.LinkOptions{Name: "demo", Lasts: 24 * time.Hour, URL: s.service.Access().URL})
	if err != nil {
		return err
	}
	fmt.Fprintf(&b, "\nThe web console, in your browser:\n%s\n", link.Reveal())
	fmt.Fprintf(&b, "\nConnect a second mailbox on the simulated consent page, in your browser:\n")
	fmt.Fprintf(&b, "%s connect %s \\\n  --config %s\n", startedAs(), demoSecond, s.configPath())
	fmt.Fprintf(&b, "\nWhat happens is logged here. Press Ctrl-C to stop.\n")
	_, err = io.WriteString(w, b.String())
	return err
}

// startedAs returns the command that runs this program again: `go run` builds it
// into a directory that it deletes.
func startedAs() string {
	if strings.Contains(os.Args[0], "go-build") {
		return "go run ./cmd/authferry"
	}
	return os.Args[0]
}
