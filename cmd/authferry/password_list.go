package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"authferry/internal/config"
	"authferry/tokens"
)

func passwordListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list MAILBOX",
		Aliases: []string{"ls"},
		Short:   "List the local passwords of a mailbox",
		Long: `List the local passwords of a mailbox by name, with what each is good for, how
long, and when, from where and by what it was last used: those that are never
used, or have expired, can be revoked without anybody noticing.`,
		Example: `  authferry password list you@gmail.com
  authferry password list you@gmail.com --json`,
		Args: takes("MAILBOX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withVault(cmd, func(ctx context.Context, _ *config.Config, vault *tokens.Vault) error {
				a, err := vault.Account(ctx, args[0])
				if err != nil {
					return err
				}
				passwords := viewOf(a, vault).Passwords
				if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
					return printJSON(cmd.OutOrStdout(), passwords)
				}
				return showPasswords(cmd.OutOrStdout(), passwords)
			})
		},
	}
	cmd.Flags().Bool("json", false, "print JSON, for scripts")
	return cmd
}

func showPasswords(w io.Writer, passwords []passwordView) error {
	if len(passwords) == 0 {
		fmt.Fprintln(w, "no local passwords; `authferry password add` makes one")
		return nil
	}
	rows := []string{row("PASSWORD", "PROTOCOLS", "NETWORKS", "MAY", "EXPIRES", "LAST USED")}
	for _, p := range passwords {
		var networks []string
		for _, n := range p.Networks {
			networks = append(networks, n.String())
		}
		rows = append(rows, row(p.Name, orAll(p.Protocols), orAll(networks), p.passwordRules.String(), p.expires(), lastUse(p.LastUsed)))
	}
	return columns(w, rows...)
}

// passwordRules are what a password may do, as people and scripts see them.
type passwordRules struct {
	ReadOnly        bool `json:"read_only,omitempty"`
	MessagesPerHour int  `json:"messages_per_hour,omitempty"` // 0: any number
	Recipients      int  `json:"recipients,omitempty"`        // of one message; 0: any number
}

func (r passwordRules) String() string {
	var may []string
	if r.ReadOnly {
		may = append(may, "read")
	}
	if r.MessagesPerHour > 0 {
		may = append(may, fmt.Sprintf("send %d an hour", r.MessagesPerHour))
	}
	if r.Recipients > 0 {
		may = append(may, fmt.Sprintf("send to %d at once", r.Recipients))
	}
	if len(may) == 0 {
		return "all"
	}
	return strings.Join(may, ", ")
}

// expiry is what there is to know of the end of a password without a clock.
type expiry string

const (
	expired     expiry = "expired"
	expiresSoon expiry = "soon" // within soon
	soon               = 14 * 24 * time.Hour
)

// expiryOf is empty for a password that is good for long.
func expiryOf(end, now time.Time) expiry {
	switch {
	case end.IsZero() || end.Sub(now) > soon:
		return ""
	case !now.Before(end):
		return expired
	}
	return expiresSoon
}

func (p passwordView) expires() string {
	if p.Expiry == "" {
		return moment(p.Expires)
	}
	return fmt.Sprintf("%s (%s)", moment(p.Expires), p.Expiry)
}

func orAll(list []string) string {
	if len(list) == 0 {
		return "all"
	}
	return strings.Join(list, ",")
}

func lastUse(u *useView) string {
	if u == nil {
		return "never"
	}
	s := fmt.Sprintf("%s by %s from %s", moment(&u.At), u.Protocol, u.From)
	if u.Client != "" {
		s += fmt.Sprintf(" (%q)", u.Client)
	}
	return s
}
