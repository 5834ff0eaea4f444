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
	"authferry/internal/logging"
	"authferry/internal/secret"
	"authferry/internal/server"
	"authferry/tokens"
	"authferry/tokens/oauth/loopback"
)

const (
	demoMailbox = "demo@gmail.com"
	// demoSecond is for trying `authferry connect` by hand.
	demoSecond = "second@gmail.com"
	// demoPassword is the name of the local password, not the password.
	demoPassword = "demo"
)

func demoCommand() *cobra.Command {
	var check bool
	var dir string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Try it all against a simulated Gmail",
		Long: `Try the whole product on this machine, against a simulated Gmail, without an
account: mail programs and curl can log in with a password at once, and what
happens is logged. Nothing leaves the machine, and nothing stays behind.

With --check it does a round trip over IMAP, POP3 and SMTP by itself, says what
worked, and ends.`,
		Example: `  authferry demo
  authferry demo --check`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := document.ForgetEnvironment(); err != nil { // it configures something real
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return runDemo(ctx, cmd, dir, check)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "do a round trip over the three protocols, and end")
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
		return s.check(ctx, cmd.OutOrStdout())
	}
	if err := s.screen(cmd.OutOrStdout()); err != nil {
		return err
	}
	s.level.SetLevel(zap.InfoLevel) // what happened so far is the screen's business
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.service.Failures:
		return err
	}
}

// show is a simulated Gmail and authferry in front of it.
type show struct {
	dir      string
	gmail    *demo.Provider
	service  *server.Server
	level    zap.AtomicLevel
	password secret.String // of demoMailbox
	console  bool          // there is one
}

// startShow starts both, and connects the mailbox as a person would.
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

// configure writes the configuration that a person would write, so that other
// commands can be tried with it, and loads it as serve does.
func (s *show) configure(usualPorts bool) (*config.Config, error) {
	if err := os.WriteFile(filepath.Join(s.dir, "gmail-ca.pem"), s.gmail.CAPEM, 0o644); err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Made by authferry demo; gone when it ends.\nlisten = [%q, %q, %q]\nstore = \"file:state\"\n",
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

// demoAddress is the usual address of a protocol if it is free, otherwise any.
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

// connect gives consent for the mailbox on the simulated Gmail's page, and
// makes a local password.
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
	// In a directory that was kept there is one already, which cannot be shown again.
	s.service.Vault.RevokePassword(ctx, demoMailbox, demoPassword)
	s.password, err = s.service.Vault.AddPassword(ctx, demoMailbox, tokens.PasswordSpec{Name: demoPassword})
	return err
}

// drainDemo bounds the end of sessions: nobody's mail hangs on them.
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
