package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Put the configuration file in force, or hear why not",
		Long: `Have the running server put its configuration file in force. A file with a
mistake in it is refused as a whole, and what is wrong with it printed; the
configuration in force stays. Live sessions go on in either case.

SIGHUP does the same, and leaves the complaints in the log.`,
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
			fmt.Fprintln(cmd.ErrOrStderr(), "reloaded")
			return nil
		},
	}
}
