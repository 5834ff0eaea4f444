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
		Short: "Show the current sessions",
		Long: `Show the sessions of the running server: mailbox, local password, address, mail
program, duration, and the bytes sent and received.`,
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
				fmt.Fprintln(cmd.ErrOrStderr(), "There are no sessions.")
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
			s.Client, s.Name, formatSpan(now.Sub(s.Since)), formatSpan(now.Sub(s.Moved)), formatBytes(s.Sent), formatBytes(s.Received)))
	}
	return columns(w, rows...)
}

// formatSpan formats a duration.
func formatSpan(d time.Duration) string {
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

// formatBytes formats a number of bytes.
func formatBytes(n int64) string {
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
		Short: "End sessions",
		Long: `End the sessions of the running server that match every given condition. Most
mail programs connect again at once; to lock a program out, revoke its password.

The exit code is 0 even if no session matches.`,
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
				return hint.Usage(errors.New("no sessions are selected"), "name a MAILBOX, or add --session, --password, --address or --all")
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
			fmt.Fprintf(cmd.ErrOrStderr(), "Ended %d %s.\n", n, cmp.Or(map[int]string{1: "session"}[n], "sessions"))
			return nil
		},
	}
	cmd.Flags().Int64Var(&which.ID, "session", 0, "end the session with this `ID`, which who shows")
	cmd.Flags().StringVar(&which.Password, "password", "", "end the sessions that logged in with the password of this `NAME`")
	cmd.Flags().StringVar(&which.Address, "address", "", "end the sessions from this address or `NETWORK`")
	cmd.Flags().BoolVar(&which.All, "all", false, "end all sessions")
	return cmd
}
