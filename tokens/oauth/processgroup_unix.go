//go:build unix

package oauth

import (
	"os"
	"os/exec"
	"syscall"
)

// processGroup is a command with all that it starts, as far as that does not
// leave its group.
type processGroup struct{}

// newProcessGroup has a command run in a group of its own, all of which ends
// when its context does.
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
