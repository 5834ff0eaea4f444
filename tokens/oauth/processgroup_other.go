//go:build !unix && !windows

package oauth

import "os/exec"

// processGroup is a command alone: what it starts cannot be ended with it here.
type processGroup struct{}

func newProcessGroup(*exec.Cmd) processGroup { return processGroup{} }
func (processGroup) started(*exec.Cmd)       {}
func (processGroup) release()                {}
