package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/internal/supportbundle"
)

func reportCommand() *cobra.Command {
	var file string
	var show bool
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Collect what a bug report needs, without secrets",
		Long: `Collect what a bug report needs: version and platform, the configuration in
force, a check of the installation and the providers, the state of each mailbox,
and the health, metrics and goroutines of the running server.

The report holds no password, token, key or client secret, and no names of mail
programs. Mail addresses are numbered, unless --show-addresses is given. It is
plain text: read it before you send it.`,
		Example: `  authferry report
  authferry report -o report.txt`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			out := cmd.OutOrStdout()
			if file != "" { // before root becomes the owner of the store and changes into its directory
				if file, err = filepath.Abs(file); err != nil {
					return err
				}
				f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
				if err != nil {
					return hint.New(fmt.Errorf("writing the report: %w", err), "name a file that does not exist")
				}
				defer func() {
					if err = errors.Join(err, f.Close()); err != nil {
						os.Remove(file)
					}
				}()
				out = f
			}
			path, err := configPath(cmd)
			if err != nil {
				return err
			}
			text, err := supportbundle.Collect(ctx, supportbundle.Options{
				Config: path, ShowAddresses: show,
				AdminConfig: func() (*config.Config, error) { return configForAdmin(cmd) },
			})
			if err != nil {
				return err
			}
			_, err = io.WriteString(out, text)
			return err
		},
	}
	cmd.Flags().StringVarP(&file, "output", "o", "", "write to this `FILE`, which must not exist")
	cmd.Flags().BoolVar(&show, "show-addresses", false, "leave mail addresses as they are")
	return cmd
}
