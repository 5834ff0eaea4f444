package authferry

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"authferry/internal/hint"
	"authferry/internal/logging"
	"authferry/internal/network"
	"authferry/tokens"
)

// passwordFlags are what a new password is described by on the command line.
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

// limits complains of limits that cannot be meant. A limit of 0 would mean any
// number to [tokens.PasswordSpec].
func (f passwordFlags) limits(cmd *cobra.Command) error {
	for flag, n := range map[string]int{"messages-per-hour": f.messages, "recipients": f.mailTo} {
		if cmd.Flags().Changed(flag) && n < 1 {
			return hint.Usage(fmt.Errorf("--%s %d would let nothing through", flag, n), "--%s 1 or more; leave it out for any number", flag)
		}
	}
	sends := len(f.protocols) == 0 || slices.ContainsFunc(f.protocols, func(p string) bool {
		return strings.EqualFold(strings.TrimSpace(p), "smtp")
	})
	switch limited := f.messages > 0 || f.mailTo > 0; {
	case f.readOnly && limited:
		return hint.Usage(errors.New("a read-only password sends nothing"), "keep --read-only, or --messages-per-hour and --recipients")
	case f.readOnly && sends && len(f.protocols) == 1:
		return hint.Usage(errors.New("a read-only password sends nothing, and smtp is for sending"), "--protocols imap or pop3 with --read-only")
	case limited && !sends:
		return hint.Usage(errors.New("--messages-per-hour and --recipients are about sending, which takes smtp"), "add smtp to --protocols")
	}
	return nil
}

// spec reads the flags; every error is one of usage.
func (f passwordFlags) spec(now time.Time) (spec tokens.PasswordSpec, err error) {
	spec = tokens.PasswordSpec{Name: strings.TrimSpace(f.name), Length: f.length,
		ReadOnly: f.readOnly, MessagesPerHour: f.messages, Recipients: f.mailTo}
	switch {
	case spec.Name == "":
		return spec, hint.Usage(errors.New("the password needs a name"), `add --name "the program it is for"`)
	case f.stdin && f.length != 0:
		return spec, hint.Usage(errors.New("--length is for a generated password, --stdin for one of yours"), "keep one of them")
	case f.length != 0 && f.length < 12:
		return spec, hint.Usage(errors.New("a password of fewer than 12 letters is too easily guessed"), "--length 12 or more")
	}
	for _, p := range f.protocols {
		p = strings.ToLower(strings.TrimSpace(p))
		if !slices.Contains([]string{"imap", "pop3", "smtp"}, p) {
			return spec, hint.Usage(fmt.Errorf("unknown protocol %q", p), "--protocols takes imap, pop3 and smtp")
		}
		spec.Protocols = append(spec.Protocols, p)
	}
	for _, n := range f.networks {
		prefix, err := network.Parse(n)
		if err != nil {
			return spec, hint.Usage(fmt.Errorf("--networks: %w", err), "%s", hint.Of(err))
		}
		spec.Networks = append(spec.Networks, prefix)
	}
	if spec.Expires, err = parseExpiry(f.expires, now); err != nil {
		return spec, hint.Usage(err, "--expires takes 90d, 12h or 2027-01-31")
	}
	return spec, nil
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

// maxPassword bounds what is read as one: RFC 4616 §2 has no longer ones.
const maxPassword = 255

// readPassword reads one password exactly as given but for one final line end;
// without an echo if a person types it.
func readPassword(cmd *cobra.Command) (tokens.Secret, error) {
	in := cmd.InOrStdin()
	if f, ok := in.(*os.File); ok && logging.IsTerminal(f) {
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
		return "", hint.Usage(errors.New("no password on standard input"), "pipe one in, or leave --stdin out to have one made")
	case len(password) > maxPassword:
		return "", hint.Usage(fmt.Errorf("the password on standard input has more than %d bytes", maxPassword), "pipe in the password alone")
	case strings.ContainsAny(password, "\r\n\x00"):
		return "", hint.Usage(errors.New("there is more than one line on standard input"), "pipe in the password alone")
	}
	return tokens.Secret(password), nil
}
