package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"authferry/internal/logging"
	"authferry/internal/server"
)

func serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Start the server",
		Long: `Start the server, and serve mail programs until SIGTERM or Ctrl-C. It writes
"authferry ready" to the log, on standard error, once every listener accepts.

SIGHUP reloads the configuration; one with an error is refused as a whole. After
SIGTERM or Ctrl-C, sessions have the drain time of the configuration to end; a
second signal ends them at once.`,
		Example: `  authferry serve
  authferry serve --config /etc/authferry/config.toml`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := configFor(cmd)
			if err != nil {
				return err
			}
			log, level := logging.New(c.Log, cmd.ErrOrStderr())
			defer log.Sync()
			for _, w := range c.Warnings {
				log.Warn(w)
			}
			server.KeepWithinMemory()
			signals := make(chan os.Signal, 2) // signals are queued from here on
			signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			defer signal.Stop(signals)
			s, err := server.Start(c, log, level)
			if err != nil {
				return err
			}
			s.Welcome(cmd.ErrOrStderr())
			return s.Run(signals)
		},
	}
}
