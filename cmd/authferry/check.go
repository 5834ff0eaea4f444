package main

import (
	"context"
	"errors"
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
