package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"authferry/internal/audit"
	"authferry/internal/hint"
	"authferry/internal/printable"
)

func loginsCommand() *cobra.Command {
	var since time.Duration
	var lines int
	var q audit.Query
	cmd := &cobra.Command{
		Use:   "logins [MAILBOX]",
		Short: "Show recent logins, successful and failed",
		Long: `Show recent logins, the newest last: time, result, mailbox, local password,
address and mail program. The command reads the record in the directory of the
store and needs no running server.

Equal failures within a minute share a line; TIMES is their number. "turned
away" is a connection that was closed before it could log in.`,
		Example: `  authferry logins
  authferry logins you@gmail.com --since 24h
  authferry logins --failed -n 200
  authferry logins --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if since < 0 || lines < 0 {
				return hint.Usage(errors.New("--since and -n take no negative values"), "see `authferry logins --help`")
			}
			if len(args) == 1 {
				q.Mailbox = args[0]
			}
			if since > 0 {
				q.Since = time.Now().Add(-since)
			}
			if lines > 0 {
				q.Last = lines + 1 // to know whether there are more
			}
			return listLogins(cmd, q, lines)
		},
	}
	cmd.Flags().DurationVar(&since, "since", 0, "show only logins of the last `TIME`, such as 24h or 30m")
	cmd.Flags().BoolVar(&q.Failed, "failed", false, "show only logins that failed")
	cmd.Flags().IntVarP(&lines, "last", "n", 50, "show the newest `N` lines; 0 shows all")
	cmd.Flags().Bool("json", false, "print JSON, for scripts")
	return cmd
}

// listLogins shows the newest logins of a query.
func listLogins(cmd *cobra.Command, q audit.Query, lines int) error {
	c, err := configForAdmin(cmd)
	if err != nil {
		return err
	}
	entries, err := audit.Read(audit.DirIn(c.StateDir), q)
	if errors.Is(err, fs.ErrPermission) {
		return hint.New(err, "run this as root, or as the user that runs authferry")
	}
	if err != nil {
		return err
	}
	older := lines > 0 && len(entries) > lines
	if older {
		entries = entries[len(entries)-lines:]
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return printJSON(cmd.OutOrStdout(), append([]audit.Entry{}, entries...))
	}
	if len(entries) == 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "No such login is recorded in %s.\n", audit.DirIn(c.StateDir))
		return nil
	}
	if older {
		fmt.Fprintf(cmd.ErrOrStderr(), "Showing the newest %d; use -n 0 to show all.\n", lines)
	}
	return showLogins(cmd.OutOrStdout(), entries)
}

// showLogins prints a table. Clients choose the text of most columns.
func showLogins(w io.Writer, entries []audit.Entry) error {
	rows := []string{row("TIME", "RESULT", "MAILBOX", "PASSWORD", "PROTOCOL", "TLS", "FROM", "PROGRAM", "TIMES", "WHY")}
	for _, e := range entries {
		from := printable.Line(e.Client)
		if from == "" && e.Times() > 1 {
			from = "many addresses"
		}
		rows = append(rows, row(e.Time.Local().Format("2006-01-02 15:04:05"), printable.Line(e.Result),
			printable.Line(cmp.Or(e.Mailbox, e.User)), printable.Line(e.Password), printable.Line(e.Protocol),
			strings.TrimPrefix(printable.Line(e.TLS), "TLS "), from, printable.Line(e.Program), strconv.Itoa(e.Times()), printable.Line(e.Cause)))
	}
	return columns(w, rows...)
}
