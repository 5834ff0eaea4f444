// Command authferry lets programs that only know a user name and a password
// use mailboxes that accept only OAuth.
package main

import (
	"io"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program: it returns the exit code.
func run(args []string, in io.Reader, out, err io.Writer) int {
	root := rootCommand()
	root.AddCommand(
		serveCommand(),
		demoCommand(),
		connectCommand(),
		importCommand(),
		mailboxCommand(),
		passwordCommand(),
		statusCommand(),
		alertCommand(),
		whoCommand(),
		kickCommand(),
		reloadCommand(),
		checkCommand(),
		versionCommand(),
	)
	completeArguments(root)
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(err)
	cobra.EnableCommandSorting = false
	failure := root.Execute()
	if failure != nil {
		report(err, failure)
	}
	return exitCode(failure)
}
