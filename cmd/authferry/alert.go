package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/internal/server"
	"authferry/tokens"
)

func alertCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "alert",
		Short: "Try the alerts of the configuration",
		Long: `While it serves, authferry says that a mailbox will need a person, or needs one
now: in the log, and by the hooks of the configuration's [alert] table.`,
		Example: `  authferry alert test`,
	}, alertTestCommand())
}

func alertTestCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test",
		Short: "Send a test message by every hook and say what came of it",
		Long: `Send a test message by every hook of the [alert] table, and say what came of it.
The exit code is 0 if all of them took it. A running server is not needed, and
not disturbed.`,
		Example: `  authferry alert test
  authferry alert test --config /etc/authferry/config.toml`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withVault(cmd, func(ctx context.Context, c *config.Config, vault *tokens.Vault) error {
				return tryAlerts(ctx, cmd, c, vault)
			})
		},
	}
}

func tryAlerts(ctx context.Context, cmd *cobra.Command, c *config.Config, vault *tokens.Vault) error {
	if len(c.Alert.Hooks()) == 0 {
		return hint.Usage(errors.New("there is no hook to try"),
			"write command, webhook or mail_to into the table [alert] of %s; config.example.toml shows them", c.File)
	}
	failures := 0
	for _, r := range server.WatcherFor(func() *config.Config { return c }, vault, zap.NewNop()).Try(ctx) {
		if r.Err != nil {
			failures++
			fmt.Fprintf(cmd.OutOrStdout(), "failed  %s: %v\n", c.Alert.Name(r.Hook), r.Err)
			continue
		}
		fmt.Fprintf(cmd.OutOrStdout(), "sent    %s\n", c.Alert.Name(r.Hook))
	}
	if failures > 0 {
		return fmt.Errorf("%d of %d hooks failed", failures, len(c.Alert.Hooks()))
	}
	return nil
}
