//go:build !unix && !windows

package tokencommand

import "os/exec"

// processGroup is the program alone: this system cannot end the processes that it
// starts.
type processGroup struct{}

func newProcessGroup(*exec.Cmd) processGroup { return processGroup{} }
func (processGroup) started(*exec.Cmd)       {}
func (processGroup) release()                {}
