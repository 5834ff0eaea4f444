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
		Short: "Check every step of a login, and say how to fix what fails",
		Long: `Check the steps of a login one by one, for the given mailboxes or for all: the
configuration, the seal key and the store; DNS, TCP and TLS of every server; the
clock; the OAuth client; a refresh, the granted scopes, a login over IMAP, POP3
and SMTP; and when a person is needed next. Each failed step says how to fix it.
The server may be running.

No mail is sent without --send-to. Exit code: 0 if nothing failed, 1 if a step
failed, 2 if the configuration cannot be read.`,
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
			return runCheck(ctx, cmd, args, sendTo)
		},
	}
	cmd.Flags().StringVar(&sendTo, "send-to", "", "send a mail from each mailbox to this `ADDRESS`")
	cmd.Flags().Bool("json", false, "print JSON, for scripts")
	return cmd
}

// runCheck runs a check and prints it.
func runCheck(ctx context.Context, cmd *cobra.Command, mailboxes []string, sendTo string) (err error) {
	printer := &checkPrinter{w: cmd.OutOrStdout(), colours: logging.IsTerminal(cmd.OutOrStdout()) && os.Getenv("NO_COLOR") == ""}
	printer.json, _ = cmd.Flags().GetBool("json")
	c, err := configFor(cmd)
	if err != nil {
		return errors.Join(err, printer.unconfigured(err))
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
	}, printer.add)
	return printer.end(ctx)
}

// unconfigured prints the step of a configuration that cannot be read, for scripts.
// People read the error.
func (c *checkPrinter) unconfigured(err error) error {
	if !c.json {
		return nil
	}
	step := check.Step{Name: "configuration", Result: check.Fail, Detail: strings.ReplaceAll(err.Error(), "\n", "; "), Fix: "correct the configuration as the detail says"}
	if what := hint.Of(err); what != "" {
		step.Fix = what
	}
	c.add(step)
	return printJSON(c.w, c.steps)
}

// checkPrinter prints a check: for people a line for each step as it is done, for
// scripts all steps as one array.
type checkPrinter struct {
	w       io.Writer
	json    bool
	colours bool
	steps   []check.Step
	subject string // of the lines so far: a mailbox, a provider or authferry
	err     error  // of writing
}

// add prints a step.
func (c *checkPrinter) add(s check.Step) {
	c.steps = append(c.steps, s)
	if c.json {
		return
	}
	subject := "authferry"
	switch {
	case s.Mailbox != "":
		subject = s.Mailbox
	case s.Provider != "":
		subject = s.Provider
	}
	if subject != c.subject {
		c.subject = subject
		c.printf("%s\n", subject)
	}
	c.printf("  %s  %-15s  %s\n", c.word(s.Result), s.Name, s.Detail)
	if s.Fix != "" {
		c.printf("        %-15s  fix: %s\n", "", s.Fix)
	}
	if s.Page != "" {
		c.printf("        %-15s  page: %s\n", "", s.Page)
	}
}

func (c *checkPrinter) printf(format string, args ...any) {
	if c.err == nil {
		_, c.err = fmt.Fprintf(c.w, format, args...)
	}
}

// word returns a result, in colour on a terminal.
func (c *checkPrinter) word(r check.Result) string {
	word := fmt.Sprintf("%-4s", r)
	if !c.colours {
		return word
	}
	colour := map[check.Result]int{check.OK: 32, check.Fail: 31, check.Skip: 33}[r]
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", colour, word)
}

// end prints the array, and returns an error if a step failed.
func (c *checkPrinter) end(ctx context.Context) error {
	if c.json {
		c.err = printJSON(c.w, c.steps)
	}
	if c.err != nil {
		return c.err
	}
	failed := 0
	for _, s := range c.steps {
		if s.Result == check.Fail {
			failed++
		}
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted: %w", ctx.Err())
	case failed > 0:
		return fmt.Errorf("%d of %d steps failed", failed, len(c.steps))
	}
	return nil
}
