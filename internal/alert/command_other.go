//go:build !unix

package alert

import "os/exec"

// withChildren does nothing: Windows has no process groups to kill.
func withChildren(*exec.Cmd) {}
