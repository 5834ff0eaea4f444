package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"authferry/internal/printable"
)

const (
	commandTime = 30 * time.Second
	// commandWait is how long processes that the command has started may keep
	// its output open.
	commandWait = time.Second
	// mostOutput is how much of its output is kept. An error shows less.
	mostOutput = 4 * printable.Limit
)

// runCommand runs the administrator's program: the message as JSON on standard
// input, a summary in the environment. There is no shell. It inherits only the
// variables that programs need: the seal key may be in the environment.
func runCommand(ctx context.Context, command []string, m Message, limit time.Duration) error {
	input, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("writing the alert as JSON: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(limited, command[0], command[1:]...)
	cmd.Stdin = bytes.NewReader(append(input, '\n'))
	cmd.Env = commandEnv(m)
	output := &head{}
	cmd.Stdout, cmd.Stderr = output, output
	cmd.WaitDelay = commandWait
	withChildren(cmd)
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s was stopped, as authferry was", command[0])
	case limited.Err() != nil:
		return fmt.Errorf("%s was stopped after %s: it must be done sooner", command[0], limit)
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // the command has ended; processes that it started run on
		return nil
	case errors.Is(err, os.ErrNotExist), errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("there is no program %s: command in [alert] must name one, with its whole path", command[0])
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return fmt.Errorf("%s ended with %s and said %s: try it by hand, with `authferry alert test`", command[0], exit, output)
	}
	return fmt.Errorf("running %s: %w", command[0], err)
}

// kept are the variables that programs need.
var kept = []string{
	"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY",
	"SYSTEMROOT", "TEMP", "USERPROFILE", "PATHEXT", // Windows
}

func commandEnv(m Message) []string {
	var env []string
	for _, name := range kept {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	var mailboxes []string
	for _, is := range m.listed() {
		mailboxes = append(mailboxes, is.Mailbox)
	}
	return append(env,
		"AUTHFERRY_MAILBOX="+strings.Join(mailboxes, " "), // an address has no spaces
		"AUTHFERRY_STATE="+string(m.Event),
		"AUTHFERRY_CAUSE="+string(m.Cause),
		"AUTHFERRY_FIX="+strings.ReplaceAll(m.advice().Fix, "\x00", ""),
		"AUTHFERRY_COUNT="+strconv.Itoa(len(m.Mailboxes)),
	)
}

// head keeps the beginning of the output.
type head struct{ text []byte }

func (h *head) Write(p []byte) (int, error) {
	h.text = append(h.text, p[:min(len(p), mostOutput-len(h.text))]...)
	return len(p), nil
}

func (h *head) String() string {
	if len(h.text) == 0 {
		return "nothing"
	}
	return printable.Quote(strings.TrimSpace(string(h.text)))
}
