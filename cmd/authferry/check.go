package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"authferry/internal/address"
	"authferry/internal/check"
	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/internal/logging"
	"authferry/internal/server"
	"authferry/tokens"
)

func checkCommand() *cobra.Command {
	var sendTo string
	cmd := &cobra.Command{
		Use:   "check [MAILBOX...]",
		Short: "Look for what is wrong, step by step, and say what to do",
		Long: `Walk the way of a login one step at a time, for these mailboxes or for all: the
configuration, the seal key and the store; DNS, TCP and TLS of every server; the
clock; the OAuth client; a refresh, the granted scopes, a login over IMAP, POP3
and SMTP; and when a person is needed next. Each failure comes with the one
thing to do about it. A server may be running meanwhile.

No mail is sent unless --send-to says where. Exit code: 0 if nothing failed, 1
if something did, 2 if the configuration cannot be read.`,
		Example: `  authferry check
  authferry check you@gmail.com
  authferry check you@gmail.com --send-to me@example.org
  authferry check --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if sendTo != "" {
				if err := address.Check(sendTo); err != nil {
					return hint.Usage(err, "--send-to takes a whole address, such as me@example.org")
				}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return checkUp(ctx, cmd, args, sendTo)
		},
	}
	cmd.Flags().StringVar(&sendTo, "send-to", "", "send a mail from each mailbox to this `ADDRESS`")
	cmd.Flags().Bool("json", false, "print JSON, for scripts")
	return cmd
}

// checkUp prepares a check, prints it, and closes what it opened.
func checkUp(ctx context.Context, cmd *cobra.Command, mailboxes []string, sendTo string) (err error) {
	chart := &chart{w: cmd.OutOrStdout(), colours: logging.IsTerminal(cmd.OutOrStdout()) && os.Getenv("NO_COLOR") == ""}
	chart.json, _ = cmd.Flags().GetBool("json")
	c, err := configFor(cmd)
	if err != nil {
		return errors.Join(err, chart.unconfigured(err))
	}
	if c.Seal != "" {
		config.BorrowCredentials()
	}
	var vault *tokens.Vault
	defer func() {
		if vault != nil {
			err = errors.Join(err, vault.Close(context.WithoutCancel(ctx)))
		}
	}()
	check.Run(ctx, check.Subject{
		Config: c.File, Store: c.FileStore(), Seal: c.Seal, Providers: c.Settings.Providers, Hostname: c.Hostname,
		Mailboxes: mailboxes, SendTo: sendTo,
		Open: func() (_ *tokens.Vault, err error) {
			vault, err = server.OpenVaultAsOwner(c)
			return vault, err
		},
	}, chart.add)
	return chart.end(ctx)
}

// unconfigured is a check that ends before it begins. People read the error
// itself; a script gets its step.
func (c *chart) unconfigured(err error) error {
	if !c.json {
		return nil
	}
	step := check.Step{Name: "configuration", Result: check.Fail, Detail: strings.ReplaceAll(err.Error(), "\n", "; "), Fix: "mend it as the detail says"}
	if what := hint.Of(err); what != "" {
		step.Fix = what
	}
	c.add(step)
	return printJSON(c.w, c.steps)
}

// chart is a check as it is shown: to people a line per step as it comes, to
// scripts all steps as one array.
type chart struct {
	w       io.Writer
	json    bool
	colours bool
	steps   []check.Step
	about   string // what the lines so far are about
	err     error  // of writing
}

// add shows a step.
func (c *chart) add(s check.Step) {
	c.steps = append(c.steps, s)
	if c.json {
		return
	}
	about := "authferry"
	switch {
	case s.Mailbox != "":
		about = s.Mailbox
	case s.Provider != "":
		about = s.Provider
	}
	if about != c.about {
		c.about = about
		c.printf("%s\n", about)
	}
	c.printf("  %s  %-15s  %s\n", c.word(s.Result), s.Name, s.Detail)
	if s.Fix != "" {
		c.printf("        %-15s  fix: %s\n", "", s.Fix)
	}
	if s.Page != "" {
		c.printf("        %-15s  page: %s\n", "", s.Page)
	}
}

func (c *chart) printf(format string, args ...any) {
	if c.err == nil {
		_, c.err = fmt.Fprintf(c.w, format, args...)
	}
}

// word is a result, in colour on a terminal.
func (c *chart) word(r check.Result) string {
	word := fmt.Sprintf("%-4s", r)
	if !c.colours {
		return word
	}
	colour := map[check.Result]int{check.OK: 32, check.Fail: 31, check.Skip: 33}[r]
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", colour, word)
}

// end shows what is shown at the end, and makes failed steps an error.
func (c *chart) end(ctx context.Context) error {
	if c.json {
		c.err = printJSON(c.w, c.steps)
	}
	if c.err != nil {
		return c.err
	}
	bad := 0
	for _, s := range c.steps {
		if s.Result == check.Fail {
			bad++
		}
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted: %w", ctx.Err())
	case bad > 0:
		return fmt.Errorf("of %d steps, %d failed", len(c.steps), bad)
	}
	return nil
}
