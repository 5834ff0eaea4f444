package tokencommand

import (
	"os/exec"
	"sync"

	"golang.org/x/sys/windows"
)

// processGroup is a program and the processes it starts: a job object.
type processGroup struct {
	mu  sync.Mutex
	job windows.Handle // 0: none, so the program is ended alone
}

// newProcessGroup makes the end of the command's context end its whole job.
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

// started assigns the running command to its job. Processes that it has started
// already stay outside.
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

// release closes the job's handle. Processes that are left in the job continue.
func (g *processGroup) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.job != 0 {
		windows.CloseHandle(g.job)
		g.job = 0
	}
}
