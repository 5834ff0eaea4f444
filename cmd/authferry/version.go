package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"authferry/internal/buildinfo"
)

func versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long: `Print the version, the revision it was built from, and the Go release that built
it. Include them in every bug report.`,
		Example: `  authferry version
  authferry version --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
				return printJSON(cmd.OutOrStdout(), buildinfo.Current())
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), buildinfo.Current())
			return err
		},
	}
	cmd.Flags().Bool("json", false, "print JSON, for scripts")
	return cmd
}
