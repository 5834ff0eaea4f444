package main

import (
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"authferry/internal/server"
	"authferry/tokens/oauth"
)

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
	if _, err := os.Stat(c.StateDir); err != nil && c.FileStore() != "" { // opening it would make one
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
