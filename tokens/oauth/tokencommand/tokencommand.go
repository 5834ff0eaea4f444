// Package tokencommand runs the program that prints a mailbox's token where a
// provider's table has a token_command.
package tokencommand

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"authferry/internal/printable"
	"authferry/internal/secret"
)

const (
	// maxOutput bounds the standard output: a token has up to 5 kB.
	maxOutput = 64 << 10
	// maxStderr bounds what is kept of the standard error.
	maxStderr = 4 << 10
	// waitDelay is how long the output is read after the program ended or was
	// killed: a process that it started may hold the output open.
	waitDelay = time.Second / 2
)

// slots bound the programs that run at the same time: in the morning every mailbox
// may need a token, and some of these programs are large.
var slots = make(chan struct{}, max(4, runtime.NumCPU()))

// Command is a token_command and the mailbox that it is run for.
type Command struct {
	Args     []string // program and arguments
	Mailbox  string   // in the environment as AUTHFERRY_MAILBOX
	Provider string   // in the environment as AUTHFERRY_PROVIDER
	Timeout  time.Duration
}

// Format and MarshalText leave out the arguments, which may be secrets.
func (c Command) Format(f fmt.State, _ rune) { io.WriteString(f, "token command for "+c.Mailbox) }

func (c Command) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(c)), nil }

// Output is what a program that succeeded has printed.
type Output struct {
	Stdout    secret.String
	Complaint string // ": it said ..." with the first line of the standard error, if there is one
}

// Error is a program that failed. Its text continues the name of the command.
type Error struct {
	NotStarted bool // the configuration is wrong; otherwise trying again may help
	words      string
	cause      error // of the context, if that ended the program
}

func (e *Error) Error() string { return e.words }
func (e *Error) Unwrap() error { return e.cause }

// Run runs a program without a shell and with an empty standard input. When the
// context or the timeout ends, it kills the program and every process that the
// program started.
func Run(ctx context.Context, c Command) (Output, error) {
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return Output{}, &Error{words: "was not run: too many others were running", cause: ctx.Err()}
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	stdout, stderr := &bounded{most: maxOutput, strict: true}, &bounded{most: maxStderr}
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Env = append(environment(os.Environ()), "AUTHFERRY_MAILBOX="+c.Mailbox, "AUTHFERRY_PROVIDER="+c.Provider)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = waitDelay
	group := newProcessGroup(cmd)
	defer group.release()
	if err := cmd.Start(); err != nil {
		if ctx.Err() != nil || slices.ContainsFunc(exhausted, func(e error) bool { return errors.Is(err, e) }) {
			return Output{}, &Error{words: "could not be started now: " + printable.Quote(err.Error()), cause: err}
		}
		return Output{}, &Error{NotStarted: true, words: fmt.Sprintf("cannot be started: %s; name an existing program by its absolute path", printable.Quote(err.Error()))}
	}
	group.started(cmd)
	err := cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it succeeded, and a daemon that it started holds the output open
	}
	switch {
	case stdout.over:
		return Output{}, &Error{words: fmt.Sprintf("printed more than %d kB, which is not a token", maxOutput>>10)}
	case errors.Is(ctx.Err(), context.DeadlineExceeded) && err != nil:
		return Output{}, &Error{words: fmt.Sprintf("did not end within %s and was stopped%s", c.Timeout, complaint(stderr, stdout)), cause: ctx.Err()}
	case ctx.Err() != nil && err != nil:
		return Output{}, &Error{words: "was stopped: the request for a token was canceled", cause: ctx.Err()}
	case err != nil:
		return Output{}, &Error{words: exitWords(err) + complaint(stderr, stdout)}
	}
	return Output{secret.String(stdout.kept.String()), complaint(stderr, stdout)}, nil
}

// hidden are the environment variables that no program inherits.
var hidden = struct {
	sync.Mutex
	names []string
}{names: []string{"CREDENTIALS_DIRECTORY"}}

// HideVariables removes environment variables, by their names, from the environment
// of all later programs: they contain secrets of this process.
func HideVariables(names ...string) {
	hidden.Lock()
	defer hidden.Unlock()
	for _, name := range names {
		if !slices.Contains(hidden.names, name) {
			hidden.names = append(hidden.names, name)
		}
	}
}

// isHidden folds the case, as Windows does.
func isHidden(name string) bool {
	hidden.Lock()
	defer hidden.Unlock()
	return slices.ContainsFunc(hidden.names, func(h string) bool { return strings.EqualFold(h, name) })
}

// environment returns what a program inherits of the own environment: without
// authferry's settings, the paths of its secrets, and systemd's sockets.
func environment(own []string) []string {
	return slices.DeleteFunc(slices.Clone(own), func(variable string) bool {
		for _, prefix := range []string{"AUTHFERRY_", "NOTIFY_SOCKET=", "WATCHDOG_", "LISTEN_"} {
			if strings.HasPrefix(variable, prefix) {
				return true
			}
		}
		name, _, _ := strings.Cut(variable, "=")
		return isHidden(name)
	})
}

// exitWords describes how a program ended.
func exitWords(err error) string {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		if code := exit.ExitCode(); code >= 0 {
			return fmt.Sprintf("failed with exit status %d", code)
		}
		return "was ended by a " + exit.String() // "signal: killed"
	}
	return "failed: " + printable.Quote(err.Error())
}

// complaint returns the first line that a program printed on its standard error,
// without anything that may be a secret.
func complaint(stderr, stdout *bounded) string {
	for line := range strings.Lines(stderr.kept.String()) {
		if line = strings.TrimSpace(line); line != "" {
			printed := secret.String(strings.TrimSpace(stdout.kept.String()))
			return ": it said " + printable.Quote(tokenLike.ReplaceAllString(secret.Scrub(line, printed), secret.Redacted))
		}
	}
	return ""
}

// tokenLike matches what tokens, keys and secrets look like: the prefixes of
// Google's tokens and of JWTs, the values of fields with such names, and long runs
// without a space or a slash. It rather matches too much: the secrets of a foreign
// program are not known here.
var tokenLike = regexp.MustCompile(`(?i)(ya29\.|1//|eyJ|GOCSPX-|Bearer +)[^\s"']+|` +
	`(?:token|secret|password|passphrase|assertion|code)["']?\s*[=:]\s*["']?[^\s"']+|` +
	`[A-Za-z0-9_+=.~-]{40,}`)

// bounded keeps the first bytes written to it. After that a strict one fails, which
// closes the pipe; others discard the rest.
type bounded struct {
	kept   bytes.Buffer // not embedded: its ReadFrom would bypass Write
	most   int
	strict bool
	over   bool
}

func (b *bounded) Write(p []byte) (int, error) {
	room := b.most - b.kept.Len()
	if len(p) <= room {
		return b.kept.Write(p)
	}
	b.over = true
	b.kept.Write(p[:room])
	if b.strict {
		return room, errors.New("too much output")
	}
	return len(p), nil
}

// exhausted are the errors of a start that say nothing about the program: the
// machine is out of processes, files or memory, and a later start may succeed.
// (An ended context fails a start too.)
var exhausted = []error{syscall.EAGAIN, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM}
