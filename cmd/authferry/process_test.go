package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"testing"
	"time"
)

// process is authferry in a process of its own.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *transcript
	stderr *transcript
	exited chan struct{}
}

// startProcess runs authferry in a directory.
func startProcess(dir string, env []string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command("authferry", args...), stdout: newTranscript(), stderr: newTranscript(), exited: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = dir, env
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.cmd.Wait()
		p.stdout.end()
		p.stderr.end()
		close(p.exited)
	}()
	return p, nil
}

// wait waits for the process to end and returns its exit code.
func (p *process) wait() (int, error) {
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(patience):
		return 0, fmt.Errorf("still running; it said\n%s", p.stderr)
	}
}

// kill ends the process at once.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.exited
}

func (p *process) signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// address returns the address of a protocol from the first log line about it.
func (p *process) address(protocol string) string {
	lines := bufio.NewScanner(bytes.NewReader(p.stderr.bytes()))
	for lines.Scan() {
		var line struct{ Msg, Protocol, Address string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" && line.Protocol == protocol {
			return line.Address
		}
	}
	return ""
}

// startServe runs `authferry serve` and waits until it is ready.
func startServe(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	p, err := startProcess(dir, os.Environ(), append([]string{"serve"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	if _, err := p.stderr.find("authferry ready"); err != nil {
		t.Fatal(err)
	}
	return p
}

// transcript is the output of a process; tests can wait for a line of it.
type transcript struct {
	mu    sync.Mutex
	more  *sync.Cond
	text  []byte
	ended bool
}

func newTranscript() *transcript {
	t := &transcript{}
	t.more = sync.NewCond(&t.mu)
	return t
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.more.Broadcast()
	return len(p), nil
}

func (t *transcript) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	t.more.Broadcast()
}

func (t *transcript) bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Clone(t.text)
}

func (t *transcript) String() string { return string(t.bytes()) }

// find waits until the output matches a pattern, and returns the match.
func (t *transcript) find(pattern string) (string, error) {
	re, err := regexp.Compile("(?m)" + pattern)
	if err != nil {
		return "", err
	}
	late := false
	timer := time.AfterFunc(patience, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		late = true
		t.more.Broadcast()
	})
	defer timer.Stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		if m := re.Find(t.text); m != nil {
			return string(m), nil
		}
		if t.ended || late {
			return "", fmt.Errorf("no %q in\n%s", pattern, t.text)
		}
		t.more.Wait()
	}
}
