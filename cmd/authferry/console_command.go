package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"authferry/internal/config"
	"authferry/internal/console"
	"authferry/internal/hint"
	"authferry/tokens"
)

func consoleCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "console",
		Short: "Let people in to the web console",
		Long: `Let people in to the web console, which shows the mailboxes and hands out their
passwords in a browser. It is there if the configuration has it: console = "http://127.0.0.1:8025".`,
		Example: `  authferry console link
  authferry console link --owner you@gmail.com`,
	}, consoleLinkCommand())
}

func consoleLinkCommand() *cobra.Command {
	var l console.SignIn
	cmd := &cobra.Command{
		Use:   "link",
		Short: "Print a link that lets one person in, once",
		Long: `Print a link that signs its bearer in to the console, once: as an administrator,
or with --owner as the owner of a mailbox, who sees that mailbox only. Whoever
it is can set a password then, to come back without a link.`,
		Example: `  authferry console link
  authferry console link --name anna
  authferry console link --owner you@gmail.com --expires 24h`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if l.Lasts <= 0 {
				return hint.Usage(errors.New("the link would be over already"), "--expires takes a time such as 15m or 24h")
			}
			return withVault(cmd, func(ctx context.Context, c *config.Config, vault *tokens.Vault) error {
				return printLink(ctx, cmd, c, vault, l)
			})
		},
	}
	cmd.Flags().StringSliceVar(&l.Owner, "owner", nil, "for the owner of this `MAILBOX`; may be given several times")
	cmd.Flags().StringVar(&l.Name, "name", "", "what to call them (default admin, or the mailbox)")
	cmd.Flags().DurationVar(&l.Lasts, "expires", console.LinkLife, "how long the link is good for")
	return cmd
}

func printLink(ctx context.Context, cmd *cobra.Command, c *config.Config, vault *tokens.Vault, l console.SignIn) error {
	if c.Console.Written == "" {
		return hint.Usage(errors.New("there is no console"), `add console = "http://127.0.0.1:8025" to %s and restart authferry`, c.File)
	}
	for i, user := range l.Owner {
		a, err := vault.Account(ctx, user)
		if err != nil {
			return err
		}
		l.Owner[i] = a.Mailbox
	}
	l.Access.URL = c.Console.URL(c.Console.Address, c.Hostname)
	link, expires, err := console.NewLink(ctx, vault, l)
	if err != nil {
		return err
	}
	fmt.Fprintln(cmd.OutOrStdout(), link.Reveal())
	fmt.Fprintf(cmd.ErrOrStderr(), "Good once, until %s. Whoever opens it is signed in.\n", moment(&expires))
	return nil
}
