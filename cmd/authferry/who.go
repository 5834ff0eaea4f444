package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"authferry/internal/admin"
	"authferry/internal/hint"
)

func whoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "who [MAILBOX]",
		Short: "Show who is logged in",
		Long: `Show the sessions that are logged in to the running server: which mailbox, with
which local password, from where, since when, and how much has gone through.`,
		Example: `  authferry who
  authferry who you@gmail.com
  authferry who --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := configForAdmin(cmd)
			if err != nil {
				return err
			}
			client, err := adminClient(c)
			if err != nil {
				return err
			}
			all, err := client.Sessions(cmd.Context())
			if err != nil {
				return notRunning(err, c)
			}
			list := []admin.Session{}
			for _, s := range all {
				if len(args) == 0 || strings.EqualFold(s.Mailbox, args[0]) {
					list = append(list, s)
				}
			}
			if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
				return printJSON(cmd.OutOrStdout(), list)
			}
			if len(list) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "Nobody is logged in.")
				return nil
			}
			return showSessions(cmd.OutOrStdout(), list, time.Now())
		},
	}
	cmd.Flags().Bool("json", false, "print JSON, for scripts")
	return cmd
}

func showSessions(w io.Writer, list []admin.Session, now time.Time) error {
	rows := []string{row("ID", "MAILBOX", "PASSWORD", "PROTOCOL", "TLS", "FROM", "PROGRAM", "FOR", "IDLE", "SENT", "RECEIVED")}
	for _, s := range list {
		rows = append(rows, row(strconv.FormatInt(s.ID, 10), s.Mailbox, s.Password, s.Protocol, strings.TrimPrefix(s.TLS, "TLS "),
			s.Client, s.Name, span(now.Sub(s.Since)), span(now.Sub(s.Moved)), volume(s.Sent), volume(s.Received)))
	}
	return columns(w, rows...)
}

// span is a duration for people.
func span(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

// volume is a number of bytes for people.
func volume(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1000)
	case n < 1000_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1000_000)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1000_000_000)
}

func kickCommand() *cobra.Command {
	var which admin.Which
	cmd := &cobra.Command{
		Use:   "kick [MAILBOX]",
		Short: "End live sessions",
		Long: `End sessions that are logged in to the running server: those that fit all that
is given. Their programs will mostly connect again at once; to keep one out,
revoke its password.

It is no failure if no session fits.`,
		Example: `  authferry kick you@gmail.com
  authferry kick you@gmail.com --password "Old scanner"
  authferry kick --address 192.0.2.0/24
  authferry kick --session 17`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				which.Mailbox = args[0]
			}
			if which == (admin.Which{}) {
				return hint.Usage(errors.New("kick needs to know whom"), "a MAILBOX, --session, --password, --address, or --all")
			}
			c, err := configForAdmin(cmd)
			if err != nil {
				return err
			}
			client, err := adminClient(c)
			if err != nil {
				return err
			}
			n, err := client.Kick(cmd.Context(), which)
			if err != nil {
				return notRunning(err, c)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%d %s ended\n", n, cmp.Or(map[int]string{1: "session"}[n], "sessions"))
			return nil
		},
	}
	cmd.Flags().Int64Var(&which.ID, "session", 0, "the session with this `ID`, as who shows it")
	cmd.Flags().StringVar(&which.Password, "password", "", "those that logged in with the password of this `NAME`")
	cmd.Flags().StringVar(&which.Address, "address", "", "those from this address or `NETWORK`")
	cmd.Flags().BoolVar(&which.All, "all", false, "all of them")
	return cmd
}
