package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"authferry/tokens"
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

// passwordFlags are what a new password is described by on the command line.
type passwordFlags struct {
	name      string
	stdin     bool
	length    int
	protocols []string
	networks  []string
	expires   string
}

func passwordAddCommand() *cobra.Command {
	var f passwordFlags
	cmd := &cobra.Command{
		Use:   "add MAILBOX --name NAME",
		Short: "Make a local password and print it once",
		Long: `Make a local password for a mailbox and print it, alone, on standard output: it
is kept as a hash only, and cannot be shown again. Spaces and case do not
matter in a generated one.

With --stdin the password is read instead, and taken exactly as given but for
one final line end; nothing is printed on standard output then.`,
		Example: `  authferry password add you@gmail.com --name "Office printer" --protocols smtp
  authferry password add you@gmail.com --name CRM --networks 192.0.2.0/24 --expires 90d
  authferry password add you@gmail.com --name Backup --stdin < password.txt`,
		Args: takes("MAILBOX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := f.spec(time.Now())
			if err != nil {
				return err
			}
			return withVault(cmd, func(ctx context.Context, c *config, vault *tokens.Vault) error {
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
	return cmd
}

// spec reads the flags; every error is one of usage.
func (f passwordFlags) spec(now time.Time) (spec tokens.PasswordSpec, err error) {
	spec = tokens.PasswordSpec{Name: strings.TrimSpace(f.name), Length: f.length}
	switch {
	case spec.Name == "":
		return spec, misused(errors.New("the password needs a name"), `add --name "the program it is for"`)
	case f.stdin && f.length != 0:
		return spec, misused(errors.New("--length is for a generated password, --stdin for one of yours"), "keep one of them")
	case f.length != 0 && f.length < 12:
		return spec, misused(errors.New("a password of fewer than 12 letters is too easily guessed"), "--length 12 or more")
	}
	for _, p := range f.protocols {
		p = strings.ToLower(strings.TrimSpace(p))
		if !slices.Contains([]string{"imap", "pop3", "smtp"}, p) {
			return spec, misused(fmt.Errorf("unknown protocol %q", p), "--protocols takes imap, pop3 and smtp")
		}
		spec.Protocols = append(spec.Protocols, p)
	}
	for _, n := range f.networks {
		prefix, err := parseNetwork(n)
		if err != nil {
			return spec, misused(err, "--networks takes networks such as 192.0.2.0/24 and addresses such as 2001:db8::1")
		}
		spec.Networks = append(spec.Networks, prefix)
	}
	if spec.Expires, err = parseExpiry(f.expires, now); err != nil {
		return spec, misused(err, "--expires takes 90d, 12h or 2027-01-31")
	}
	return spec, nil
}

// parseNetwork reads a network or a single address.
func parseNetwork(text string) (netip.Prefix, error) {
	text = strings.TrimSpace(text)
	if ip, err := netip.ParseAddr(text); err == nil {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return prefix, fmt.Errorf("%q is not a network", text)
	}
	if prefix != prefix.Masked() {
		return prefix, fmt.Errorf("%q names an address within the network %s", text, prefix.Masked())
	}
	return prefix, nil
}

// parseExpiry reads a span of days or hours from now, or a day, whose end is meant.
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
	if !end.After(now) {
		return end, fmt.Errorf("%s is over already", text)
	}
	return end, nil
}

func addPassword(ctx context.Context, cmd *cobra.Command, c *config, vault *tokens.Vault, user string, spec tokens.PasswordSpec, stdin bool) error {
	mailbox, _ := vault.Canonical(user)
	if stdin {
		preset, err := readPassword(cmd)
		if err != nil {
			return err
		}
		spec.Preset = preset
	}
	password, err := vault.AddPassword(ctx, mailbox, spec)
	if err != nil {
		return err
	}
	if !stdin {
		fmt.Fprintln(cmd.OutOrStdout(), password.Reveal())
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "\nGive your mail program the password, the user name %s, and as servers:\n\n", mailbox)
	return columns(cmd.ErrOrStderr(), serverRows(c, spec.Protocols)...)
}

// serverRows are what a mail program's settings ask for.
func serverRows(c *config, protocols []string) []string {
	var rows []string
	for _, l := range c.listen {
		if len(protocols) > 0 && !slices.Contains(protocols, l.protocol) {
			continue
		}
		host, port, _ := net.SplitHostPort(l.address)
		if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
			host = c.hostname
		}
		rows = append(rows, row("  "+strings.ToUpper(l.protocol), "host "+host, "port "+port, securityName(l.security)))
	}
	return rows
}

// maxPassword bounds what is read as one: RFC 4616 §2 has no longer ones.
const maxPassword = 255

// readPassword reads one password exactly as given but for one final line end;
// without an echo if a person types it.
func readPassword(cmd *cobra.Command) (tokens.Secret, error) {
	in := cmd.InOrStdin()
	if f, ok := in.(*os.File); ok && isTerminal(f) {
		fmt.Fprint(cmd.ErrOrStderr(), "Password: ")
		typed, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(cmd.ErrOrStderr())
		return tokens.Secret(typed), err
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
		return "", misused(errors.New("no password on standard input"), "pipe one in, or leave --stdin out to have one made")
	case len(password) > maxPassword:
		return "", misused(fmt.Errorf("the password on standard input has more than %d bytes", maxPassword), "pipe in the password alone")
	case strings.ContainsAny(password, "\r\n\x00"):
		return "", misused(errors.New("there is more than one line on standard input"), "pipe in the password alone")
	}
	return tokens.Secret(password), nil
}

func passwordListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list MAILBOX",
		Aliases: []string{"ls"},
		Short:   "List the local passwords of a mailbox",
		Long: `List the local passwords of a mailbox by name, with what each is good for and
when, from where and by what it was last used.`,
		Example: `  authferry password list you@gmail.com
  authferry password list you@gmail.com --json`,
		Args: takes("MAILBOX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withVault(cmd, func(ctx context.Context, _ *config, vault *tokens.Vault) error {
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
	rows := []string{row("PASSWORD", "PROTOCOLS", "NETWORKS", "EXPIRES", "LAST USED")}
	for _, p := range passwords {
		var networks []string
		for _, n := range p.Networks {
			networks = append(networks, n.String())
		}
		rows = append(rows, row(p.Name, orAll(p.Protocols), orAll(networks), moment(p.Expires), lastUse(p.LastUsed)))
	}
	return columns(w, rows...)
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

func passwordRevokeCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:     "revoke MAILBOX --name NAME",
		Aliases: []string{"remove", "rm"},
		Short:   "Make a local password useless",
		Long: `Make a local password useless from the next login on; sessions that logged in
with it are ended.`,
		Example: `  authferry password revoke you@gmail.com --name "Office printer"`,
		Args:    takes("MAILBOX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if name == "" {
				return misused(errors.New("which password?"), "add --name; `authferry password list %s` shows the names", args[0])
			}
			return withVault(cmd, func(ctx context.Context, _ *config, vault *tokens.Vault) error {
				mailbox, _ := vault.Canonical(args[0])
				err := vault.RevokePassword(ctx, mailbox, name)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "Revoked %q of %s.\n", name, mailbox)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the password's name")
	return cmd
}
