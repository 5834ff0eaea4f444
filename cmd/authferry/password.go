package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/internal/logging"
	"authferry/internal/network"
	"authferry/internal/protocol"
	"authferry/internal/secret"
	"authferry/internal/server"
	"authferry/internal/view"
	"authferry/tokens"
	"authferry/tokens/store"
)

func passwordCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "password",
		Short: "Add, list and revoke local passwords",
		Long: `Add, list and revoke local passwords, which mail programs log in to authferry
with. A mailbox can have any number of them, each with a name; each can be
revoked without affecting the others.`,
		Example: `  authferry password add you@gmail.com --name "Office printer"
  authferry password list you@gmail.com
  authferry password revoke you@gmail.com --name "Office printer"`,
	}, passwordAddCommand(), passwordListCommand(), passwordRevokeCommand())
}

func passwordAddCommand() *cobra.Command {
	var f passwordFlags
	cmd := &cobra.Command{
		Use:   "add MAILBOX --name NAME",
		Short: "Create a local password and print it once",
		Long: `Create a local password for a mailbox and print it, alone, on standard output.
Only its hash is stored, so it cannot be shown again. Spaces and case do not
matter in a generated password.

The first password for a mailbox of a [domain] enrols the mailbox and tries a
login to it.

With --stdin, the password is read from standard input, exactly as given except
for one final line end; nothing is printed on standard output.

A password can have limits. With --read-only, a program can read but not change
anything: over IMAP, folders open as with EXAMINE; over POP3, nothing is
deleted; over SMTP, nothing is sent. --messages-per-hour limits the messages in
any 60 minutes, counted over all connections until authferry restarts;
--recipients limits the recipients of one message. Messages beyond a limit are
refused temporarily, so that programs with a queue try again later.`,
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
	cmd.Flags().StringVar(&f.name, "name", "", "the `NAME` of the password, such as the program it is for")
	cmd.Flags().BoolVar(&f.stdin, "stdin", false, "read the password from standard input")
	cmd.Flags().IntVar(&f.length, "length", 0, "the `NUMBER` of letters to generate, 12 or more (default 16)")
	cmd.Flags().StringSliceVar(&f.protocols, "protocols", nil, "allow only these protocols: `imap,pop3,smtp`")
	cmd.Flags().StringSliceVar(&f.networks, "networks", nil, "allow logins from these networks only: `CIDR,...`")
	cmd.Flags().StringVar(&f.expires, "expires", "", "`WHEN` it expires: 90d, 12h, or after a day such as 2027-01-31")
	cmd.Flags().BoolVar(&f.readOnly, "read-only", false, "allow reading only: no changes, no sending")
	cmd.Flags().IntVar(&f.messages, "messages-per-hour", 0, "the `NUMBER` of messages it may send in an hour (default any)")
	cmd.Flags().IntVar(&f.mailTo, "recipients", 0, "the `NUMBER` of recipients one message may have (default any)")
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
	fmt.Fprintf(cmd.ErrOrStderr(), "\nIn your mail program, enter the password, the user name %s, and these servers:\n\n", mailbox)
	if err := columns(cmd.ErrOrStderr(), serverRows(c, spec)...); err != nil {
		return err
	}
	after, err := vault.Account(ctx, mailbox)
	if err != nil {
		return err
	}
	if p := c.Settings.Providers[after.Provider]; p != nil && (before == nil || before.Provider == "") {
		printEnrolled(ctx, cmd, mailbox, p)
	}
	return nil
}

// serverRows returns the servers that a password can be used with, as the settings
// of a mail program ask for them.
func serverRows(c *config.Config, spec tokens.PasswordSpec) []string {
	var rows []string
	for _, l := range c.Listen {
		p := protocol.Protocol(l.Protocol)
		if !protocol.Allowed(spec.Protocols, p) || spec.ReadOnly && p == protocol.SMTP {
			continue
		}
		host, port := l.HostPort()
		if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
			host = c.Hostname
		}
		rows = append(rows, row("  "+p.Upper(), "host "+host, "port "+port, server.SecurityName(l.Security)))
	}
	return rows
}

func passwordRevokeCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:     "revoke MAILBOX --name NAME",
		Aliases: []string{"remove", "rm"},
		Short:   "Revoke a local password",
		Long: `Revoke a local password. It is refused from the next login on, and sessions that
logged in with it end at once.`,
		Example: `  authferry password revoke you@gmail.com --name "Office printer"`,
		Args:    takes("MAILBOX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if name == "" {
				return hint.Usage(errors.New("no password is named"), "add --name; `authferry password list %s` shows the names", args[0])
			}
			return withVault(cmd, func(ctx context.Context, c *config.Config, vault *tokens.Vault) error {
				mailbox, _ := vault.Canonical(args[0])
				err := vault.RevokePassword(ctx, mailbox, name)
				if err != nil {
					return err
				}
				endSessions(ctx, c)
				fmt.Fprintf(cmd.ErrOrStderr(), "Revoked %q of %s.\n", name, mailbox)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the `NAME` of the password")
	return cmd
}

func passwordListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list MAILBOX",
		Aliases: []string{"ls"},
		Short:   "List the local passwords of a mailbox",
		Long: `List the local passwords of a mailbox by name, with the limits and the last use
of each. Passwords that are unused or have expired can be revoked without effect
on mail programs.`,
		Example: `  authferry password list you@gmail.com
  authferry password list you@gmail.com --json`,
		Args: takes("MAILBOX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withVault(cmd, func(ctx context.Context, _ *config.Config, vault *tokens.Vault) error {
				a, err := vault.Account(ctx, args[0])
				if err != nil {
					return err
				}
				passwords := view.Of(a, vault).Passwords
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

func showPasswords(w io.Writer, passwords []view.Password) error {
	if len(passwords) == 0 {
		fmt.Fprintln(w, "no local passwords; `authferry password add` creates one")
		return nil
	}
	rows := []string{row("PASSWORD", "PROTOCOLS", "NETWORKS", "MAY", "EXPIRES", "LAST USED")}
	for _, p := range passwords {
		var networks []string
		for _, n := range p.Networks {
			networks = append(networks, n.String())
		}
		rows = append(rows, row(p.Name, orAll(protocol.Join(p.Protocols, ",")), orAll(strings.Join(networks, ",")), p.May(), expires(p), lastUse(p.LastUsed)))
	}
	return columns(w, rows...)
}

func expires(p view.Password) string {
	if p.Expiry == "" {
		return moment(p.Expires)
	}
	return fmt.Sprintf("%s (%s)", moment(p.Expires), p.Expiry)
}

func orAll(list string) string { return cmp.Or(list, "all") }

func lastUse(u *view.Use) string {
	if u == nil {
		return "never"
	}
	s := fmt.Sprintf("%s by %s from %s", moment(&u.At), u.Protocol, u.From)
	if u.Client != "" {
		s += fmt.Sprintf(" (%q)", u.Client)
	}
	return s
}

// passwordFlags are the flags of password add.
type passwordFlags struct {
	name      string
	stdin     bool
	length    int
	protocols []string
	networks  []string
	expires   string
	readOnly  bool
	messages  int
	mailTo    int
}

// spec reads the flags. Every error is a usage error.
func (f passwordFlags) spec(cmd *cobra.Command, now time.Time) (spec tokens.PasswordSpec, err error) {
	spec = tokens.PasswordSpec{Name: strings.TrimSpace(f.name), Length: f.length, Protocols: protocol.List(f.protocols),
		ReadOnly: f.readOnly, MessagesPerHour: f.messages, Recipients: f.mailTo}
	if f.stdin && f.length != 0 {
		return spec, hint.Usage(errors.New("--length is for a generated password, --stdin for a chosen one"), "use one of the two")
	}
	for _, n := range f.networks {
		prefix, err := network.Parse(n)
		if err != nil {
			return spec, hint.Usage(fmt.Errorf("--networks: %w", err), "%s", hint.Of(err))
		}
		spec.Networks = append(spec.Networks, prefix)
	}
	if spec.Expires, err = parseExpiry(f.expires, now); err != nil {
		return spec, hint.Usage(fmt.Errorf("--expires: %w", err), "--expires takes 90d, 12h or 2027-01-31")
	}
	all, _ := errors.AsType[tokens.Complaints](spec.Check(now))
	for _, given := range []struct {
		field string
		n     int
	}{{tokens.FieldMessages, f.messages}, {tokens.FieldRecipients, f.mailTo}} {
		if given.n == 0 && cmd.Flags().Changed(given.field) { // 0 in the spec means no limit
			all = append(all, *tokens.CheckNumber(given.field, 0))
		}
	}
	return spec, passwordMisused(all)
}

// passwordMisused returns a usage error for the rules that the flags break. The
// fields have the names of the flags.
func passwordMisused(all tokens.Complaints) error {
	if len(all) == 0 {
		return nil
	}
	if len(all) == 1 {
		return hint.Usage(fmt.Errorf("--%s: %s", all[0].Field, all[0].What), "%s", all[0].Hint)
	}
	lines := make([]string, len(all))
	for i, c := range all {
		lines[i] = fmt.Sprintf("--%s: %s; %s", c.Field, c.What, c.Hint)
	}
	return hint.Usage(errors.New(strings.Join(lines, "\n")), "")
}

// parseExpiry parses a span of days or hours from now, or a day, which is included.
func parseExpiry(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	var end time.Time
	days, isDays := strings.CutSuffix(text, "d")
	if n, err := strconv.Atoi(days); isDays && err == nil {
		end = now.AddDate(0, 0, n)
	} else if span, err := time.ParseDuration(text); err == nil {
		end = now.Add(span)
	} else if day, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil {
		end = day.AddDate(0, 0, 1)
	} else {
		return end, fmt.Errorf("%q is neither a time span nor a day", text)
	}
	return end, nil
}

// maxPassword bounds a password: RFC 4616 §2.
const maxPassword = 255

// readPassword reads a password exactly as given except for one final line end; on a
// terminal, without an echo.
func readPassword(cmd *cobra.Command) (secret.String, error) {
	in := cmd.InOrStdin()
	if f, ok := in.(*os.File); ok && logging.IsTerminal(f) {
		fmt.Fprint(cmd.ErrOrStderr(), "Password: ")
		typed, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(cmd.ErrOrStderr())
		return secret.String(typed), err
	}
	content, err := io.ReadAll(io.LimitReader(in, maxPassword+3))
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	password := string(content)
	if line, ended := strings.CutSuffix(password, "\n"); ended {
		password = strings.TrimSuffix(line, "\r")
	}
	switch {
	case password == "":
		return "", hint.Usage(errors.New("no password on standard input"), "pipe one in, or omit --stdin to generate one")
	case len(password) > maxPassword:
		return "", hint.Usage(fmt.Errorf("the password on standard input has more than %d bytes", maxPassword), "pipe in the password alone")
	case strings.ContainsAny(password, "\r\n\x00"):
		return "", hint.Usage(errors.New("there is more than one line on standard input"), "pipe in the password alone")
	}
	return secret.String(password), nil
}
