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
		Short: "Test the alerts",
		Long: `Test the hooks of the [alert] table. The server uses them, and its log, to
report that a mailbox needs a person now or will need one soon.`,
		Example: `  authferry alert test`,
	}, alertTestCommand())
}

func alertTestCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test",
		Short: "Send a test message through every hook",
		Long: `Send a test message through every hook of the [alert] table, and print the
results. The exit code is 0 if every hook accepted the message. The command
needs no running server, and does not affect one.`,
		Example: `  authferry alert test
  authferry alert test --config /etc/authferry/config.toml`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withVault(cmd, func(ctx context.Context, c *config.Config, vault *tokens.Vault) error {
				return testAlerts(ctx, cmd, c, vault)
			})
		},
	}
}

func testAlerts(ctx context.Context, cmd *cobra.Command, c *config.Config, vault *tokens.Vault) error {
	if len(c.Alert.Hooks()) == 0 {
		return hint.Usage(errors.New("no alert hook is configured"),
			"add command, webhook or mail_to to the [alert] table of %s; config.example.toml shows how", c.File)
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
