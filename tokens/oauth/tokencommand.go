package oauth

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"authferry/internal/printable"
	"authferry/internal/secret"
)

const (
	// commandDrain is how long the output of a command is read on when it has
	// ended or been killed: what it left behind may hold it open for ever.
	commandDrain = time.Second / 2
	// maxComplaint bounds what is kept of a command's standard error.
	maxComplaint = 4 << 10
)

// commandSlots bound the programs that run at one time: at the start of a day
// every mailbox may want a token, and some of these programs are large.
var commandSlots = make(chan struct{}, max(4, runtime.NumCPU()))

// runCommand is [FlowTokenCommand]: it runs [Provider.TokenCommand], without a
// shell and with nothing on its standard input, and reads the token that it
// prints on its standard output (see [readCommand]). The environment names the
// mailbox and the provider, in AUTHFERRY_MAILBOX and AUTHFERRY_PROVIDER. A
// command that takes too long is ended with all that it has started.
func (p *Provider) runCommand(ctx context.Context, mailbox string, now time.Time) (*Token, error) {
	if len(p.TokenCommand) == 0 || p.TokenCommand[0] == "" {
		return nil, p.lacks("token command", "token_command")
	}
	select {
	case commandSlots <- struct{}{}:
		defer func() { <-commandSlots }()
	case <-ctx.Done():
		return nil, p.commandError(ErrUnavailable, "had no turn: others were running", ctx.Err())
	}
	ctx, cancel := context.WithTimeout(ctx, p.CallTimeout())
	defer cancel()
	stdout, stderr := &bounded{most: maxAnswer, strict: true}, &bounded{most: maxComplaint}
	cmd := exec.CommandContext(ctx, p.TokenCommand[0], p.TokenCommand[1:]...)
	cmd.Env = append(commandEnvironment(os.Environ()), "AUTHFERRY_MAILBOX="+mailbox, "AUTHFERRY_PROVIDER="+p.Name)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = commandDrain
	group := newProcessGroup(cmd)
	defer group.release()
	if err := cmd.Start(); err != nil {
		return nil, p.commandError(ErrRefused, fmt.Sprintf("cannot be started: %s; name a program that is there, by its whole path", printable.Quote(err.Error())), nil)
	}
	group.started(cmd)
	err := cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it has ended well, and left a daemon behind
	}
	switch {
	case stdout.over:
		return nil, p.commandError(ErrUnavailable, fmt.Sprintf("printed more than %d kB, which is no token", maxAnswer>>10), nil)
	case errors.Is(ctx.Err(), context.DeadlineExceeded) && err != nil:
		return nil, p.commandError(ErrUnavailable, fmt.Sprintf("did not end within %s and was stopped%s", p.CallTimeout(), complaint(stderr, stdout)), ctx.Err())
	case ctx.Err() != nil && err != nil:
		return nil, p.commandError(ErrUnavailable, "was stopped: nobody waits for it any more", ctx.Err())
	case err != nil:
		return nil, p.commandError(ErrUnavailable, exitWords(err)+complaint(stderr, stdout), nil)
	}
	t, err := readCommand(stdout.kept.Bytes(), now.UTC().Round(0))
	if err != nil {
		return nil, p.commandError(ErrUnavailable, err.Error()+complaint(stderr, stdout), nil)
	}
	return t, nil
}

// commandError is a command that gave no token. Only the program is named: its
// arguments may be secrets.
func (p *Provider) commandError(kind error, words string, cause error) error {
	return &EndpointError{Kind: kind, cause: cause, reason: fmt.Sprintf("the token_command %s of [provider.%s] %s", printable.Quote(p.TokenCommand[0]), p.Name, words)}
}

// hidden are the environment variables that no command inherits.
var hidden = struct {
	sync.Mutex
	names []string
}{names: []string{"CREDENTIALS_DIRECTORY"}}

// HideFromCommands keeps environment variables, by their names, from the commands
// that are run: they have secrets of this process in them. It holds for all
// commands to come.
func HideFromCommands(names ...string) {
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

// commandEnvironment is what a command inherits: not what is meant for this
// process alone, such as our own settings, where its secrets are, and the sockets
// of systemd.
func commandEnvironment(own []string) []string {
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

// exitWords say how a command ended.
func exitWords(err error) string {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		if code := exit.ExitCode(); code >= 0 {
			return fmt.Sprintf("failed with exit status %d", code)
		}
		return "was ended by a " + exit.String() // "signal: killed"
	}
	return "failed: " + printable.Quote(err.Error())
}

// complaint is the first line that a command printed on its standard error,
// without what may be a secret of its trade.
func complaint(stderr, stdout *bounded) string {
	for line := range strings.Lines(stderr.kept.String()) {
		if line = strings.TrimSpace(line); line != "" {
			told := []secret.String{secret.String(strings.TrimSpace(stdout.kept.String()))}
			return ": it said " + printable.Quote(tokenLike.ReplaceAllString(secret.Scrub(line, told...), secret.Redacted))
		}
	}
	return ""
}

// tokenLike is what tokens, keys and secrets look like: the beginnings that
// Google's and all JWTs have, what follows the names of such fields, and long
// runs without a space or a slash. It rather hides too much.
var tokenLike = regexp.MustCompile(`(?i)(ya29\.|1//|eyJ|GOCSPX-|Bearer +)[^\s"']+|` +
	`(?:token|secret|password|passphrase|assertion|code)["']?\s*[=:]\s*["']?[^\s"']+|` +
	`[A-Za-z0-9_+=.~-]{40,}`)

// readCommand makes a token of what a command printed: the token alone, or JSON
// with access_token and expires_in (seconds from now) or expires_at (seconds of
// the epoch, or RFC 3339). The names of Azure's program are taken as well
// (az account get-access-token: accessToken, expires_on). A token without an end
// has that of its own claims if it is a JWT, else an hour. Errors continue the
// name of the command and quote nothing.
func readCommand(printed []byte, now time.Time) (*Token, error) {
	printed = bytes.TrimSpace(bytes.TrimPrefix(printed, []byte("\ufeff")))
	if len(printed) == 0 {
		return nil, errors.New("printed nothing")
	}
	t := &Token{Access: secret.String(printed), Minted: now}
	if printed[0] == '{' {
		var a answer
		if json.Unmarshal(printed, &a) != nil {
			return nil, errors.New("printed JSON that is damaged")
		}
		t.Access = secret.String(cmp.Or(a.text("access_token"), a.text("accessToken")))
		t.Scopes = strings.Fields(a.text("scope"))
		if life := a.seconds("expires_in", 0, maxLife); life > 0 {
			t.Expiry = now.Add(life)
		} else {
			t.Expiry = readMoment(cmp.Or(a.text("expires_at"), a.text("expires_on")))
		}
		if t.Access.Empty() {
			return nil, errors.New("printed JSON without access_token")
		}
	}
	if !isToken(t.Access) {
		return nil, errors.New("printed something that is not a token: it should print the token, or JSON with access_token and expires_in, and nothing else")
	}
	if t.Expiry.IsZero() {
		var claims answer
		if json.Unmarshal(jwtClaims(t.Access), &claims) == nil {
			t.Expiry = readMoment(claims.text("exp"))
		}
	}
	if t.Expiry.IsZero() {
		t.Expiry = now.Add(assumedLife)
	}
	if !t.Expiry.After(now) {
		return nil, fmt.Errorf("printed a token that expired at %s: have it get a new one each time", t.Expiry.Format(time.RFC3339))
	}
	if most := now.Add(maxLife); t.Expiry.After(most) {
		t.Expiry = most
	}
	return t, nil
}

// readMoment reads a time in seconds of the epoch or as RFC 3339 has it; zero:
// it is neither.
func readMoment(text string) time.Time {
	if seconds, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err == nil && seconds >= 1 && seconds < 1<<36 {
		return time.Unix(int64(seconds), 0).UTC()
	}
	if at, err := time.Parse(time.RFC3339, strings.TrimSpace(text)); err == nil {
		return at.UTC()
	}
	return time.Time{}
}

// bounded keeps the first bytes written to it. A strict one fails at the next,
// which closes the pipe; others go on as if they read.
type bounded struct {
	kept   bytes.Buffer // no embedded one: its ReadFrom would go around Write
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
