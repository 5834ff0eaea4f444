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

const orientation = `authferry lets mail programs that log in with a user name and a password use
mailboxes that accept only OAuth, such as Gmail and Microsoft 365.

Try it without an account:          authferry demo

To use it with your mailbox:
  1. configure your OAuth client    see config.example.toml
  2. sign in to the mailbox         authferry connect you@gmail.com
  3. create a local password        authferry password add you@gmail.com --name "Mail program"
  4. start the server               authferry serve
Then enter the host, the port and the local password in your mail program.
If something does not work:         authferry check you@gmail.com
`

// rootCommand returns authferry without a command, which prints where to begin.
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

// knownCommand refuses arguments that are not a subcommand.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	advice := fmt.Sprintf("see `%s --help`", cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	if s := cmd.SuggestionsFor(args[0]); len(s) > 0 {
		advice = fmt.Sprintf("did you mean `%s %s`?", cmd.CommandPath(), strings.Join(s, "` or `"))
	}
	return hint.Usage(fmt.Errorf("unknown command %q", args[0]), "%s", advice)
}

// group returns a command that requires one of its subcommands.
func group(cmd *cobra.Command, subs ...*cobra.Command) *cobra.Command {
	cmd.Args = knownCommand
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return hint.Usage(fmt.Errorf("%s needs a subcommand", cmd.CommandPath()), "see `%s --help`", cmd.CommandPath())
	}
	cmd.AddCommand(subs...)
	return cmd
}

// takes requires arguments, by their names in the usage line.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return hint.Usage(fmt.Errorf("%s needs a %s", cmd.CommandPath(), names[len(args)]), "usage: %s", cmd.UseLine())
		case len(args) > len(names):
			return hint.Usage(fmt.Errorf("unexpected argument %q", args[len(names)]), "usage: %s", cmd.UseLine())
		}
		return nil
	}
}

// configPath returns the path of the configuration.
func configPath(cmd *cobra.Command) (string, error) {
	flag, err := cmd.Flags().GetString("config")
	if err != nil {
		return "", err
	}
	return config.Path(flag)
}

// configFor loads the configuration and prints its warnings.
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

// exitCode returns the exit code for an error.
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

// completeArguments makes the shell complete every MAILBOX in the usage lines.
func completeArguments(cmd *cobra.Command) {
	if slices.Contains(strings.FieldsFunc(cmd.Use, func(r rune) bool { return strings.ContainsRune(" [].", r) }), "MAILBOX") {
		cmd.ValidArgsFunction = completeMailboxes
	}
	for _, sub := range cmd.Commands() {
		completeArguments(sub)
	}
}

// completeMailboxes completes a MAILBOX argument for users who can read the store.
func completeMailboxes(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	const nothing = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 {
		return nil, nothing
	}
	c, err := configFor(cmd)
	if err != nil {
		return nil, nothing
	}
	if _, err := os.Stat(c.StateDir); err != nil && c.FileStore() != "" { // opening the store would create it
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
