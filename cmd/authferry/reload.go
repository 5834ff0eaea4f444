package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Reload the server's configuration",
		Long: `Reload the configuration file of the running server. A file with an error is
refused as a whole: the errors are printed, and the previous configuration stays
in force. Sessions continue in either case.

SIGHUP does the same, and writes the errors to the log.`,
		Example: `  authferry reload`,
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := configForAdmin(cmd)
			if err != nil {
				return err
			}
			client, err := adminClient(c)
			if err != nil {
				return err
			}
			if err := client.Reload(cmd.Context()); err != nil {
				return notRunning(err, c)
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "Reloaded.")
			return nil
		},
	}
}
