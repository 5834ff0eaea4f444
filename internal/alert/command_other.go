//go:build !unix

package alert

import "os/exec"

// withChildren leaves what a command has started to itself: Windows has no
// process groups to kill.
func withChildren(*exec.Cmd) {}
