package oauth

import (
	"os/exec"
	"sync"

	"golang.org/x/sys/windows"
)

// processGroup is a command with all that it starts: a job object.
type processGroup struct {
	mu  sync.Mutex
	job windows.Handle // 0: there is none, and the command is ended alone
}

// newProcessGroup has a command run in a job of its own, all of which ends when
// its context does.
func newProcessGroup(cmd *exec.Cmd) *processGroup {
	g := &processGroup{}
	cmd.Cancel = func() error {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.job != 0 && windows.TerminateJobObject(g.job, 1) == nil {
			return nil
		}
		return cmd.Process.Kill()
	}
	return g
}

// started puts the command, which has just begun, into its job. What it started
// before that stays outside.
func (g *processGroup) started(cmd *exec.Cmd) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return
	}
	process, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(cmd.Process.Pid))
	if err != nil {
		windows.CloseHandle(job)
		return
	}
	defer windows.CloseHandle(process)
	if windows.AssignProcessToJobObject(job, process) != nil {
		windows.CloseHandle(job)
		return
	}
	g.mu.Lock()
	g.job = job
	g.mu.Unlock()
}

// release lets go of the job; what is left in it runs on.
func (g *processGroup) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.job != 0 {
		windows.CloseHandle(g.job)
		g.job = 0
	}
}
