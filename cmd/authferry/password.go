package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/internal/server"
	"authferry/tokens"
	"authferry/tokens/store"
)

func passwordCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "password",
		Short: "Add, list and revoke local passwords",
		Long: `Local passwords are what mail programs log in to authferry with: any number for
a mailbox, each with a name, and each revocable without touching the others.`,
		Example: `  authferry password add you@gmail.com --name "Office printer"
  authferry password list you@gmail.com
  authferry password revoke you@gmail.com --name "Office printer"`,
	}, passwordAddCommand(), passwordListCommand(), passwordRevokeCommand())
}

func passwordAddCommand() *cobra.Command {
	var f passwordFlags
	cmd := &cobra.Command{
		Use:   "add MAILBOX --name NAME",
		Short: "Make a local password and print it once",
		Long: `Make a local password for a mailbox and print it, alone, on standard output: it
is kept as a hash only, and cannot be shown again. Spaces and case do not
matter in a generated one.

The first password for a mailbox of a [domain] enrols the mailbox, and tells
whether it can be opened.

With --stdin the password is read instead, and taken exactly as given but for
one final line end; nothing is printed on standard output then.

A password may do less than the mailbox could. --read-only lets a program look
at everything and change nothing: over IMAP folders open as by EXAMINE, over
POP3 nothing is deleted, and it sends nothing. --messages-per-hour bounds what
is sent in any 60 minutes, counted together over all connections until authferry
is restarted; --recipients bounds those of one message. What is beyond a limit
is refused for the moment, so that programs with a queue try it again later.`,
		Example: `  authferry password add you@gmail.com --name "Office printer" --protocols smtp
  authferry password add you@gmail.com --name CRM --networks 192.0.2.0/24 --expires 90d
  authferry password add you@gmail.com --name Archive --read-only
  authferry password add you@gmail.com --name Webshop --messages-per-hour 50 --recipients 5
  authferry password add you@gmail.com --name Backup --stdin < password.txt`,
		Args: takes("MAILBOX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := f.spec(cmd, time.Now())
			if err != nil {
				return err
			}
			return withVault(cmd, func(ctx context.Context, c *config.Config, vault *tokens.Vault) error {
				return addPassword(ctx, cmd, c, vault, args[0], spec, f.stdin)
			})
		},
	}
	cmd.Flags().StringVar(&f.name, "name", "", "what to call it, such as the program it is for")
	cmd.Flags().BoolVar(&f.stdin, "stdin", false, "read the password from standard input")
	cmd.Flags().IntVar(&f.length, "length", 0, "letters to generate, 12 or more (default 16)")
	cmd.Flags().StringSliceVar(&f.protocols, "protocols", nil, "good for these only: `imap,pop3,smtp`")
	cmd.Flags().StringSliceVar(&f.networks, "networks", nil, "good from these only: `CIDR,...`")
	cmd.Flags().StringVar(&f.expires, "expires", "", "`WHEN` it ends: 90d, 12h, or a day such as 2027-01-31, included")
	cmd.Flags().BoolVar(&f.readOnly, "read-only", false, "look at everything, change and send nothing")
	cmd.Flags().IntVar(&f.messages, "messages-per-hour", 0, "how many messages it may send in an hour (default any)")
	cmd.Flags().IntVar(&f.mailTo, "recipients", 0, "how many recipients one message may have (default any)")
	return cmd
}

func addPassword(ctx context.Context, cmd *cobra.Command, c *config.Config, vault *tokens.Vault, user string, spec tokens.PasswordSpec, stdin bool) error {
	mailbox, _ := vault.Canonical(user)
	if stdin {
		preset, err := readPassword(cmd)
		if err != nil {
			return err
		}
		spec.Preset = preset
	}
	before, err := vault.Account(ctx, mailbox)
	if err != nil && !errors.Is(err, store.ErrNoMailbox) {
		return err
	}
	password, err := vault.AddPassword(ctx, mailbox, spec)
	if err != nil {
		return err
	}
	if !stdin {
		fmt.Fprintln(cmd.OutOrStdout(), password.Reveal())
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "\nGive your mail program the password, the user name %s, and as servers:\n\n", mailbox)
	protocols := spec.Protocols
	if spec.ReadOnly { // not for sending
		if len(protocols) == 0 {
			protocols = []string{"imap", "pop3"}
		}
		protocols = slices.DeleteFunc(slices.Clone(protocols), func(p string) bool { return p == "smtp" })
	}
	if err := columns(cmd.ErrOrStderr(), serverRows(c, protocols)...); err != nil {
		return err
	}
	after, err := vault.Account(ctx, mailbox)
	if err != nil {
		return err
	}
	if p := c.Settings.Providers[after.Provider]; p != nil && (before == nil || before.Provider == "") {
		tellEnrolled(ctx, cmd, mailbox, p)
	}
	return nil
}

// serverRows are what a mail program's settings ask for.
func serverRows(c *config.Config, protocols []string) []string {
	var rows []string
	for _, l := range c.Listen {
		if len(protocols) > 0 && !slices.Contains(protocols, l.Protocol) {
			continue
		}
		host, port := l.HostPort()
		if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
			host = c.Hostname
		}
		rows = append(rows, row("  "+strings.ToUpper(l.Protocol), "host "+host, "port "+port, server.SecurityName(l.Security)))
	}
	return rows
}

func passwordRevokeCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:     "revoke MAILBOX --name NAME",
		Aliases: []string{"remove", "rm"},
		Short:   "Make a local password useless",
		Long: `Make a local password useless from the next login on; sessions that logged in
with it are ended at once.`,
		Example: `  authferry password revoke you@gmail.com --name "Office printer"`,
		Args:    takes("MAILBOX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if name == "" {
				return hint.Usage(errors.New("which password?"), "add --name; `authferry password list %s` shows the names", args[0])
			}
			return withVault(cmd, func(ctx context.Context, c *config.Config, vault *tokens.Vault) error {
				mailbox, _ := vault.Canonical(args[0])
				err := vault.RevokePassword(ctx, mailbox, name)
				if err != nil {
					return err
				}
				nudge(ctx, c)
				fmt.Fprintf(cmd.ErrOrStderr(), "Revoked %q of %s.\n", name, mailbox)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the password's name")
	return cmd
}
