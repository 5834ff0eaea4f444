package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/internal/server"
	"authferry/tokens/oauth"
)

const orientation = `authferry lets mail programs that only know a user name and a password use
mailboxes that accept only OAuth, such as Gmail and Microsoft 365.

See it work, without an account:    authferry demo
Then, for a mailbox of yours:
  1. write your OAuth client down   config.example.toml shows where
  2. sign in to the mailbox         authferry connect you@gmail.com
  3. make a local password          authferry password add you@gmail.com --name "Mail program"
  4. serve                          authferry serve
  and when something does not work  authferry check you@gmail.com
and give your mail program the host, the port and the password of authferry.
`

// rootCommand is authferry alone, which tells a newcomer where to begin.
func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "authferry",
		Short:         "Password logins for mailboxes that accept only OAuth",
		Long:          orientation,
		Args:          knownCommand,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintf(cmd.OutOrStdout(), "%s\nAll commands: authferry help\n", orientation)
			return nil
		},
	}
	root.PersistentFlags().String("config", "",
		"configuration `FILE` (default $AUTHFERRY_CONFIG, then "+config.SystemConfig+", then $XDG_CONFIG_HOME/authferry/config.toml)")
	root.MarkPersistentFlagFilename("config", "toml")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return hint.Usage(err, "see `%s --help`", cmd.CommandPath())
	})
	return root
}

// section adds commands under a heading of the help text.
func section(root *cobra.Command, heading string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: heading, Title: heading})
	for _, cmd := range commands {
		cmd.GroupID = heading
	}
	root.AddCommand(commands...)
}

// knownCommand refuses words that are no subcommand.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	advice := fmt.Sprintf("see `%s --help`", cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	if s := cmd.SuggestionsFor(args[0]); len(s) > 0 {
		advice = fmt.Sprintf("did you mean `%s %s`?", cmd.CommandPath(), strings.Join(s, "` or `"))
	}
	return hint.Usage(fmt.Errorf("there is no command %q", args[0]), "%s", advice)
}

// group is a command that is nothing without one of its subcommands.
func group(cmd *cobra.Command, subs ...*cobra.Command) *cobra.Command {
	cmd.Args = knownCommand
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return hint.Usage(fmt.Errorf("%s needs to know what to do", cmd.CommandPath()), "see `%s --help`", cmd.CommandPath())
	}
	cmd.AddCommand(subs...)
	return cmd
}

// takes says which arguments a command needs, by the words of its usage line.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return hint.Usage(fmt.Errorf("%s needs a %s", cmd.CommandPath(), names[len(args)]), "usage: %s", cmd.UseLine())
		case len(args) > len(names):
			return hint.Usage(fmt.Errorf("%s does not know what to do with %q", cmd.CommandPath(), args[len(names)]), "usage: %s", cmd.UseLine())
		}
		return nil
	}
}

// configOf is where the configuration of a command is.
func configPath(cmd *cobra.Command) (string, error) {
	flag, err := cmd.Flags().GetString("config")
	if err != nil {
		return "", err
	}
	return config.Path(flag)
}

// configFor loads the configuration a command was called with, and says what
// is doubtful about it.
func configFor(cmd *cobra.Command) (*config.Config, error) {
	path, err := configPath(cmd)
	if err != nil {
		return nil, err
	}
	c, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	for _, w := range c.Warnings {
		fmt.Fprintf(cmd.ErrOrStderr(), "authferry: warning: %s\n", w)
	}
	return c, nil
}

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // the command line or the configuration is wrong
)

// exitCode returns the code that the program ends with after an error.
func exitCode(err error) int {
	switch {
	case err == nil:
		return exitDone
	case hint.IsUsage(err):
		return exitUsage
	}
	return exitFailed
}

// printError prints an error: one sentence (for a configuration, one
// for each complaint), and a hint if there is one.
func printError(w io.Writer, err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(w, "authferry: %s\n", line)
	}
	if what := hint.Of(err); what != "" {
		fmt.Fprintf(w, "hint: %s\n", what)
	}
}

// completeArguments has the shell complete every MAILBOX, by the words of the
// usage lines.
func completeArguments(cmd *cobra.Command) {
	if slices.Contains(strings.FieldsFunc(cmd.Use, func(r rune) bool { return strings.ContainsRune(" [].", r) }), "MAILBOX") {
		cmd.ValidArgsFunction = completeMailboxes
	}
	for _, sub := range cmd.Commands() {
		completeArguments(sub)
	}
}

// completeMailboxes offers the mailboxes there are for a MAILBOX argument, to
// whoever may read the store.
func completeMailboxes(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	const nothing = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 {
		return nil, nothing
	}
	c, err := configFor(cmd)
	if err != nil {
		return nil, nothing
	}
	if _, err := os.Stat(c.Store); err != nil && c.FileStore() != "" { // opening it would make one
		return nil, nothing
	}
	vault, err := server.OpenVaultAsOwner(c)
	if err != nil {
		return nil, nothing
	}
	mailboxes, err := vault.Mailboxes(cmd.Context())
	if closing := vault.Close(cmd.Context()); err != nil || closing != nil {
		return nil, nothing
	}
	return mailboxes, nothing
}

func completeProviders(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	names := slices.Sorted(maps.Keys(oauth.Builtin()))
	if c, err := configFor(cmd); err == nil {
		names = slices.Sorted(maps.Keys(c.Settings.Providers))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
