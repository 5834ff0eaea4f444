package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"authferry/internal/config"
	"authferry/internal/console/people"
	"authferry/internal/hint"
	"authferry/tokens"
)

func consoleCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "console",
		Short: "Give people access to the web console",
		Long: `Give people access to the web console, which shows mailboxes and creates local
passwords in a browser. Enable it in the configuration, for example with
console = "http://127.0.0.1:8025".`,
		Example: `  authferry console link
  authferry console link --owner you@gmail.com`,
	}, consoleLinkCommand())
}

func consoleLinkCommand() *cobra.Command {
	var l people.LinkOptions
	cmd := &cobra.Command{
		Use:   "link",
		Short: "Print a link that signs in to the console once",
		Long: `Print a link that signs in to the console once: as an administrator, or with
--owner as the owner of a mailbox, who sees that mailbox only. After signing in,
set a password to sign in again without a link.`,
		Example: `  authferry console link
  authferry console link --name anna
  authferry console link --owner you@gmail.com --expires 24h`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if l.Lasts <= 0 {
				return hint.Usage(errors.New("the link would have expired already"), "--expires takes a time such as 15m or 24h")
			}
			return withVault(cmd, func(ctx context.Context, c *config.Config, vault *tokens.Vault) error {
				return printLink(ctx, cmd, c, vault, l)
			})
		},
	}
	cmd.Flags().StringSliceVar(&l.Owner, "owner", nil, "sign in the owner of this `MAILBOX`; may be given several times")
	cmd.Flags().StringVar(&l.Name, "name", "", "the `NAME` of the user (default admin, or the mailbox)")
	cmd.Flags().DurationVar(&l.Lasts, "expires", people.LinkLife, "the `TIME` that the link is valid for")
	return cmd
}

func printLink(ctx context.Context, cmd *cobra.Command, c *config.Config, vault *tokens.Vault, l people.LinkOptions) error {
	if c.Console.Written == "" {
		return hint.Usage(errors.New("the console is disabled"), `add console = "http://127.0.0.1:8025" to %s and restart authferry`, c.File)
	}
	for i, user := range l.Owner {
		a, err := vault.Account(ctx, user)
		if err != nil {
			return err
		}
		l.Owner[i] = a.Mailbox
	}
	l.URL = c.Console.URL(c.Console.Address, c.Hostname)
	link, expires, err := people.NewLink(ctx, vault, l)
	if err != nil {
		return err
	}
	fmt.Fprintln(cmd.OutOrStdout(), link.Reveal())
	fmt.Fprintf(cmd.ErrOrStderr(), "The link is valid once, until %s. It signs in anyone who opens it.\n", moment(&expires))
	return nil
}
