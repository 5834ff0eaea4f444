package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"authferry/internal/hint"
	"authferry/internal/logging"
	"authferry/internal/network"
	"authferry/internal/secret"
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

// spec reads the flags; every error is one of usage.
func (f passwordFlags) spec(cmd *cobra.Command, now time.Time) (spec tokens.PasswordSpec, err error) {
	spec = tokens.PasswordSpec{Name: strings.TrimSpace(f.name), Length: f.length,
		ReadOnly: f.readOnly, MessagesPerHour: f.messages, Recipients: f.mailTo}
	if f.stdin && f.length != 0 {
		return spec, hint.Usage(errors.New("--length is for a generated password, --stdin for a chosen one"), "keep one of them")
	}
	for _, p := range f.protocols {
		spec.Protocols = append(spec.Protocols, strings.ToLower(strings.TrimSpace(p)))
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
		if given.n == 0 && cmd.Flags().Changed(given.field) { // a 0 in the spec is no limit
			all = append(all, *tokens.CheckNumber(given.field, 0))
		}
	}
	return spec, passwordMisused(all)
}

// passwordMisused is an error of usage for the rules of passwords that are
// broken. Their fields are named as the flags are.
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
	return end, nil
}

// maxPassword bounds what is read as one: RFC 4616 §2 has no longer ones.
const maxPassword = 255

// readPassword reads one password exactly as given but for one final line end;
// without an echo if a person types it.
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
		return "", hint.Usage(errors.New("no password on standard input"), "pipe one in, or leave --stdin out to have one made")
	case len(password) > maxPassword:
		return "", hint.Usage(fmt.Errorf("the password on standard input has more than %d bytes", maxPassword), "pipe in the password alone")
	case strings.ContainsAny(password, "\r\n\x00"):
		return "", hint.Usage(errors.New("there is more than one line on standard input"), "pipe in the password alone")
	}
	return secret.String(password), nil
}
