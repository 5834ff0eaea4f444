//go:build unix

package tokencommand

import (
	"os"
	"os/exec"
	"syscall"
)

// processGroup is a program and the processes it starts, unless they leave its
// group.
type processGroup struct{}

// newProcessGroup runs a command in its own process group. The end of the command's
// context kills the group.
func newProcessGroup(cmd *exec.Cmd) processGroup {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != syscall.ESRCH {
			return err
		}
		return os.ErrProcessDone
	}
	return processGroup{}
}

func (processGroup) started(*exec.Cmd) {}
func (processGroup) release()          {}
