//go:build !windows

package main

import (
	"errors"
	"runtime"

	"github.com/spf13/cobra"

	"authferry/internal/hint"
)

// serviceActions are what `authferry service` does, which only Windows needs:
// elsewhere whatever starts services starts `authferry serve`.
var serviceActions = map[string]func(cmd *cobra.Command) error{
	"install": useInstead, "remove": useInstead, "run": useInstead,
}

func useInstead(cmd *cobra.Command) error {
	instead := "have it start `authferry serve`"
	switch runtime.GOOS {
	case "linux":
		instead = "the packages and systemd/authferry.service do it for systemd; in a container, start `authferry serve`"
	case "darwin":
		instead = "have a LaunchDaemon start `authferry serve`: see `man launchd.plist`"
	case "freebsd", "openbsd", "netbsd":
		instead = "have an rc.d script start `authferry serve`: see `man rc.subr`"
	}
	return hint.Usage(errors.New(cmd.CommandPath()+" is for Windows"), "%s", instead)
}
