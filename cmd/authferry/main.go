// Command authferry lets programs that log in with a user name and a password use
// mailboxes that accept only OAuth.
package main

import (
	"io"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program. It returns the exit code.
func run(args []string, in io.Reader, out, err io.Writer) int {
	root := program()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(err)
	failure := root.Execute()
	if failure != nil {
		printError(err, failure)
	}
	return exitCode(failure)
}

// program returns the table of commands.
func program() *cobra.Command {
	cobra.EnableCommandSorting = false // before the commands are added
	root := rootCommand()
	section(root, "Run:",
		serveCommand(),
		reloadCommand(),
		demoCommand(),
	)
	section(root, "Mailboxes and local passwords:",
		connectCommand(),
		importCommand(),
		mailboxCommand(),
		passwordCommand(),
		settingsCommand(),
		consoleCommand(),
		storeCommand(),
	)
	section(root, "Diagnose:",
		checkCommand(),
		statusCommand(),
		whoCommand(),
		kickCommand(),
		loginsCommand(),
		alertCommand(),
		healthCommand(),
		reportCommand(),
	)
	root.AddCommand(serviceCommand(), versionCommand())
	completeArguments(root)
	return root
}
