package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"authferry/internal/config"
	"authferry/internal/winservice"
)

func serviceCommand() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:    "service",
		Short:  "Run as a service of Windows",
		Hidden: runtime.GOOS != "windows", // elsewhere the commands say what to use instead
		Long: `Run authferry under the service control manager of Windows, which starts it with
the machine and restarts it after a crash. Its configuration is config.toml in
%ProgramData%\authferry, its log is authferry.log in the same directory. Errors
that prevent the start are in the event log, too.

When the service stops, sessions have the drain time of the configuration to
end. On other systems, use the packages.`,
	})
	for _, sub := range []struct {
		use, short, long string
		run              func(*cobra.Command) error
	}{
		{"install", "Create the service", `Create the service, which starts with Windows. Its directory is created with a
configuration to fill in; only administrators and the service can access it. Run
this as an administrator, from the directory where authferry.exe is to stay.`, installService},
		{"remove", "Stop and delete the service", `Stop and delete the service. Configuration and mailboxes stay.`, removeService},
		{"run", "Serve under the service control manager", `Serve under the service control manager, which runs this command.`, runService},
	} {
		cmd.AddCommand(&cobra.Command{
			Use: sub.use, Short: sub.short, Long: sub.long,
			Example: "  authferry service " + sub.use,
			Args:    takes(),
			RunE:    func(cmd *cobra.Command, _ []string) error { return sub.run(cmd) },
		})
	}
	return cmd
}

func installService(cmd *cobra.Command) error {
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return err
	}
	if file, err = winservice.Install(cmd.Root().Short, file); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "Created the service. Fill in %s, then run: sc start %s\n", file, winservice.Name)
	return nil
}

func removeService(cmd *cobra.Command) error {
	if err := winservice.Remove(); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "Deleted the service; %s stays.\n", config.ProgramData())
	return nil
}

func runService(cmd *cobra.Command) error {
	return winservice.Run(func() (*config.Config, error) { return configFor(cmd) }, exitCode)
}
