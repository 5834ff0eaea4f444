package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/internal/logging"
	"authferry/internal/view"
	"authferry/tokens"
	"authferry/tokens/store"
)

func mailboxCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "mailbox",
		Short: "Show and remove connected mailboxes",
		Long: `Show the connected mailboxes, the state of their grants and their local
passwords, and remove mailboxes.`,
		Example: `  authferry mailbox list
  authferry mailbox show you@gmail.com
  authferry mailbox remove you@gmail.com`,
	}, mailboxListCommand(), mailboxShowCommand(), mailboxRemoveCommand())
}

func mailboxListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the mailboxes and their states",
		Long: `List the mailboxes and their states:
  fresh          the access token has most of its lifetime left
  stale          the next login refreshes the access token
  refreshing     a refresh is in progress
  needs-consent  a person must run "authferry connect MAILBOX" again
  unreachable    the last refresh failed; it is tried again
  disconnected   removed; its passwords are kept

Below the list, each problem is explained, with what to do about it.`,
		Example: `  authferry mailbox list
  authferry mailbox list --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withVault(cmd, func(ctx context.Context, _ *config.Config, vault *tokens.Vault) error {
				asJSON, _ := cmd.Flags().GetBool("json")
				return listMailboxes(ctx, cmd, vault, asJSON)
			})
		},
	}
	cmd.Flags().Bool("json", false, "print JSON, for scripts")
	return cmd
}

func listMailboxes(ctx context.Context, cmd *cobra.Command, vault *tokens.Vault, asJSON bool) error {
	names, err := vault.Mailboxes(ctx)
	if err != nil {
		return err
	}
	views := []view.Mailbox{}
	for _, name := range names {
		a, err := vault.Account(ctx, name)
		if errors.Is(err, store.ErrNoMailbox) { // removed meanwhile
			continue
		}
		if err != nil {
			return err
		}
		views = append(views, view.Of(a, vault))
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), views)
	}
	if len(views) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "No mailbox is connected yet; `authferry connect MAILBOX` connects one.")
		return nil
	}
	rows := []string{row("MAILBOX", "PROVIDER", "STATE", "GRANT ENDS", "PASSWORDS")}
	for _, m := range views {
		rows = append(rows, row(m.Mailbox, m.Provider, string(m.State), moment(m.GrantEnds), strconv.Itoa(len(m.Passwords))))
	}
	if err := columns(cmd.OutOrStdout(), rows...); err != nil {
		return err
	}
	for _, m := range views {
		if m.Meaning == "" {
			continue
		}
		fmt.Fprintf(cmd.OutOrStdout(), "\n%s: %s\n  %s\n", m.Mailbox, m.Meaning, m.Fix)
		if m.Page != "" {
			fmt.Fprintf(cmd.OutOrStdout(), "  %s\n", m.Page)
		}
	}
	return nil
}

func mailboxShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show MAILBOX",
		Short: "Show one mailbox and its local passwords",
		Long: `Show one mailbox: its state and the reason, when its tokens expire, and its
local passwords with the last use of each.`,
		Example: `  authferry mailbox show you@gmail.com`,
		Args:    takes("MAILBOX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withVault(cmd, func(ctx context.Context, _ *config.Config, vault *tokens.Vault) error {
				a, err := vault.Account(ctx, args[0])
				if err != nil {
					return err
				}
				m := view.Of(a, vault)
				if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
					return printJSON(cmd.OutOrStdout(), m)
				}
				return showMailbox(cmd.OutOrStdout(), m)
			})
		},
	}
	cmd.Flags().Bool("json", false, "print JSON, for scripts")
	return cmd
}

func showMailbox(w io.Writer, m view.Mailbox) error {
	rows := []string{row("mailbox", m.Mailbox), row("provider", m.Provider), row("state", string(m.State))}
	if m.SignIn != "" {
		rows = append(rows, row("signed in as", m.SignIn))
	}
	for _, r := range []struct{ name, text string }{{"because", m.Meaning}, {"what to do", m.Fix}, {"page", m.Page}, {"reason", m.Reason}} {
		if r.text != "" {
			rows = append(rows, row(r.name, r.text))
		}
	}
	if m.Since != nil {
		rows = append(rows, row("since", moment(m.Since)))
	}
	rows = append(rows,
		row("connected", moment(m.Connected)),
		row("access token until", moment(m.TokenExpires)))
	if m.GrantEnds != nil {
		rows = append(rows, row("grant ends", moment(m.GrantEnds)+": the provider then requires consent again"))
	}
	if err := columns(w, rows...); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return showPasswords(w, m.Passwords)
}

func mailboxRemoveCommand() *cobra.Command {
	var r tokens.Removal
	var yes bool
	cmd := &cobra.Command{
		Use:     "remove MAILBOX",
		Aliases: []string{"rm"},
		Short:   "Remove a mailbox, its grant and its passwords",
		Long: `Remove a mailbox, its grant and its local passwords, and end its sessions. The
grant is revoked at the provider unless another mailbox uses it. Google then
revokes everything that the account granted to the project of the OAuth client,
also to other programs.

With --keep-passwords, the mailbox stays as "disconnected": mail programs are
told to have it connected again, and their passwords work again after that.`,
		Example: `  authferry mailbox remove you@gmail.com
  authferry mailbox remove you@gmail.com --keep-passwords
  authferry mailbox remove you@gmail.com --keep-grant --yes`,
		Args: takes("MAILBOX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withVault(cmd, func(ctx context.Context, c *config.Config, vault *tokens.Vault) error {
				return removeMailbox(ctx, cmd, c, vault, args[0], r, yes)
			})
		},
	}
	cmd.Flags().BoolVar(&r.KeepGrant, "keep-grant", false, "do not revoke the grant at the provider")
	cmd.Flags().BoolVar(&r.KeepPasswords, "keep-passwords", false, "keep the passwords until the mailbox is connected again")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation")
	return cmd
}

func removeMailbox(ctx context.Context, cmd *cobra.Command, c *config.Config, vault *tokens.Vault, user string, r tokens.Removal, yes bool) error {
	mailbox, _ := vault.Canonical(user)
	question := fmt.Sprintf("Remove %s?", mailbox)
	a, err := vault.Account(ctx, mailbox)
	switch {
	case errors.Is(err, store.ErrNoMailbox):
		return err
	case err != nil: // a damaged file is a reason to remove the mailbox
		fmt.Fprintf(cmd.ErrOrStderr(), "authferry: warning: the mailbox cannot be read: %v\n", err)
	case r.KeepPasswords:
		question = fmt.Sprintf("Remove the grant of %s and keep its %s?", mailbox, passwords(len(a.Passwords)))
	default:
		question = fmt.Sprintf("Remove %s and its %s?", mailbox, passwords(len(a.Passwords)))
	}
	if !yes {
		if err := confirm(cmd, question); err != nil {
			return err
		}
	}
	done, err := vault.Remove(ctx, mailbox, r)
	if err != nil {
		return err
	}
	endSessions(ctx, c)
	errs := cmd.ErrOrStderr()
	switch done.Passwords {
	case 0:
		fmt.Fprintf(errs, "Removed %s.\n", mailbox)
	case 1:
		fmt.Fprintf(errs, "Removed the grant of %s; its 1 password works again when the mailbox is connected again.\n", mailbox)
	default:
		fmt.Fprintf(errs, "Removed the grant of %s; its %d passwords work again when the mailbox is connected again.\n", mailbox, done.Passwords)
	}
	switch {
	case done.Revoked:
		fmt.Fprintln(errs, "Revoked the grant at the provider.")
	case done.Left != nil:
		fmt.Fprintf(errs, "authferry: warning: the provider may still list the grant: %v", done.Left)
		if done.Page != "" {
			fmt.Fprintf(errs, "; the owner of the account can revoke it at %s", done.Page)
		}
		fmt.Fprintln(errs)
	}
	return nil
}

func passwords(n int) string {
	if n == 1 {
		return "1 password"
	}
	return fmt.Sprintf("%d passwords", n)
}

// confirm asks for confirmation; without a terminal, the answer is no.
func confirm(cmd *cobra.Command, question string) error {
	if !logging.IsTerminal(cmd.InOrStdin()) {
		return hint.Usage(errors.New("cannot ask for confirmation: standard input is not a terminal"), "add --yes")
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", question)
	answer, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing removed")
}
