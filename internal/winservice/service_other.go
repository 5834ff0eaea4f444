//go:build !windows

package winservice

import (
	"errors"
	"runtime"

	"authferry/internal/config"
	"authferry/internal/hint"
)

var errWindowsOnly = errors.New("the service commands are for Windows")

func unsupported() error {
	instead := "run `authferry serve` as a service"
	switch runtime.GOOS {
	case "linux":
		instead = "use the packages or systemd/authferry.service; in a container, start `authferry serve`"
	case "darwin":
		instead = "start `authferry serve` from a LaunchDaemon: see `man launchd.plist`"
	case "freebsd", "openbsd", "netbsd":
		instead = "start `authferry serve` from an rc.d script: see `man rc.subr`"
	}
	return hint.Usage(errWindowsOnly, "%s", instead)
}

// Install creates the service on Windows.
func Install(_, _ string) (file string, err error) { return "", unsupported() }

// Remove stops and deletes the service on Windows.
func Remove() error { return unsupported() }

// Run serves under the service control manager on Windows.
func Run(_ func() (*config.Config, error), _ func(error) int) error { return unsupported() }
