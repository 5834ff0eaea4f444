package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"authferry/internal/config"
	"authferry/internal/hint"
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
func configOf(cmd *cobra.Command) (string, error) {
	flag, err := cmd.Flags().GetString("config")
	if err != nil {
		return "", err
	}
	return config.Path(flag)
}

// configFor loads the configuration a command was called with, and says what
// is doubtful about it.
func configFor(cmd *cobra.Command) (*config.Config, error) {
	path, err := configOf(cmd)
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
