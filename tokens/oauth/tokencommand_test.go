//go:build unix

package oauth

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"authferry/internal/secret"
	"authferry/tokens/oauth/tokencommand"
)

// shell returns a Provider whose token_command is a script.
func shell(script string, args ...string) *Provider {
	return &Provider{Name: "command", Flow: FlowTokenCommand, TokenCommand: append([]string{"/bin/sh", "-c", script, "sh"}, args...)}
}

// TestTokenCommand: the command is run without a shell, and knows the mailbox.
func TestTokenCommand(t *testing.T) {
	t.Setenv("AUTHFERRY_SEAL", "seal-CANARY")
	t.Setenv("NOTIFY_SOCKET", "/run/systemd/notify")
	t.Setenv("HTTPS_PROXY", "http://proxy")
	p := shell(`read line; printf '%s' "$AUTHFERRY_MAILBOX|$AUTHFERRY_PROVIDER|$1|$line|$AUTHFERRY_SEAL$NOTIFY_SOCKET|$HTTPS_PROXY" | tr ' $' '_S'`, "$(id) *")
	token, err := p.Mint(t.Context(), me)
	if err != nil {
		t.Fatal(err)
	}
	if want := secret.String(me + "|command|S(id)_*|||http://proxy"); token.Access != want {
		t.Errorf("%q, want %q", token.Access.Reveal(), want.Reveal())
	}
	if !token.Refresh.Empty() || time.Until(token.Expiry) < 59*time.Minute {
		t.Errorf("%q %s", token.Refresh.Reveal(), token.Expiry)
	}
}

// TestTokenCommandKnowsNoSecrets: a command does not inherit the places of authferry's
// secrets.
func TestTokenCommandKnowsNoSecrets(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "/run/credentials/CANARY")
	t.Setenv("TEST_HIDDEN_DATABASE", "postgres://u:CANARY@db.example/d")
	t.Setenv("TEST_HIDDEN", "shown")
	tokencommand.HideVariables("TEST_HIDDEN_DATABASE", "TEST_HIDDEN_KEY")
	p := shell(`printf '%s' "$CREDENTIALS_DIRECTORY$TEST_HIDDEN_DATABASE|$TEST_HIDDEN"`)
	token, err := p.Mint(t.Context(), me)
	if err != nil {
		t.Fatal(err)
	}
	if token.Access != "|shown" {
		t.Errorf("%q", token.Access.Reveal())
	}
}

// TestTokenCommandFails: every failure is a sentence without a secret.
func TestTokenCommandFails(t *testing.T) {
	for name, c := range map[string]struct {
		command []string
		kind    error
		says    string
	}{
		"exit status":    {[]string{"/bin/sh", "-c", "echo; echo 'no such account' >&2; echo more >&2; exit 3"}, ErrUnavailable, `failed with exit status 3: it said "no such account"`},
		"signal":         {[]string{"/bin/sh", "-c", "kill -9 $$"}, ErrUnavailable, "signal: killed"},
		"not there":      {[]string{"/nowhere/token", "CANARY"}, ErrRefused, "absolute path"},
		"not found":      {[]string{"authferry-test-nowhere"}, ErrRefused, "cannot be started"},
		"not a program":  {[]string{"/dev/null"}, ErrRefused, "cannot be started"},
		"none":           {nil, ErrRefused, "token_command in [provider.command]"},
		"empty":          {[]string{""}, ErrRefused, "token_command in [provider.command]"},
		"nothing":        {[]string{"/bin/sh", "-c", ":"}, ErrUnavailable, "printed nothing"},
		"words":          {[]string{"/bin/echo", "token CANARY"}, ErrUnavailable, "not a token"},
		"two lines":      {[]string{"/bin/echo", "CANARY\nCANARY"}, ErrUnavailable, "not a token"},
		"a flood":        {[]string{"/bin/sh", "-c", "while :; do echo CANARYCANARYCANARYCANARYCANARYCANARYCANARYCANARY; done"}, ErrUnavailable, "more than 64 kB"},
		"damaged":        {[]string{"/bin/echo", `{"access_token":"CANARY`}, ErrUnavailable, "damaged"},
		"no field":       {[]string{"/bin/echo", `{"token":"CANARY"}`}, ErrUnavailable, "without access_token"},
		"expired":        {[]string{"/bin/echo", `{"access_token":"CANARY","expires_at":1700000000}`}, ErrUnavailable, "expired at 2023-11-14"},
		"told back":      {[]string{"/bin/sh", "-c", "echo my-CANARY; echo 'failed for my-CANARY' >&2; exit 1"}, ErrUnavailable, "failed for •••"},
		"other secrets":  {[]string{"/bin/sh", "-c", "echo 'Authorization: Bearer CANARY, client_secret=CANARY ya29.CANARY 0123456789012345678901234567890123456789CANARY' >&2; exit 1"}, ErrUnavailable, "Authorization: •••"},
		"a long line":    {[]string{"/bin/sh", "-c", "printf 'no %05000d' 0 >&2; exit 1"}, ErrUnavailable, "no •••"},
		"terminal codes": {[]string{"/bin/sh", "-c", `printf '\033[2J\r\007oops\n' >&2; exit 1`}, ErrUnavailable, `\x1b[2J`},
	} {
		t.Run(name, func(t *testing.T) {
			p := &Provider{Name: "command", Flow: FlowTokenCommand, TokenCommand: c.command}
			_, err := p.Mint(t.Context(), me)
			wantFailure(t, err, c.kind, c.says)
		})
	}
}

// TestTokenCommandIsNotToBlame: a context that ended, or a machine out of files, keeps a
// command from starting and says nothing about the configuration.
func TestTokenCommandIsNotToBlame(t *testing.T) {
	p := shell(`echo token`)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 { // whether a slot or the context is seen first is up to chance
		if _, err := p.Mint(ended, me); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrRefused) {
			t.Fatalf("a context that had ended: %v", err)
		}
	}
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	few := old
	few.Cur = 3
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	_, err := p.Mint(t.Context(), me)
	if e := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); e != nil {
		t.Fatal(e)
	}
	if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrRefused) {
		t.Errorf("no file descriptors left: %v", err)
	}
}

// TestTokenCommandStalls: a command that takes too long is killed, even if it ignores
// other signals.
func TestTokenCommandStalls(t *testing.T) {
	p := shell(`trap '' TERM INT HUP; echo CANARY; while :; do sleep 1000; done`)
	p.Timeout = 300 * time.Millisecond // enough to start it on a busy machine
	_, err := p.Mint(t.Context(), me)
	wantFailure(t, err, ErrUnavailable, "did not end within 300ms and was stopped")
}

// TestTokenCommandEndsWhole: a killed command's children are killed too.
func TestTokenCommandEndsWhole(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "held")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	// The grandchild holds the pipe open for as long as it lives.
	p := shell(`(trap '' TERM INT HUP; exec 3>"$1"; while :; do sleep 1000; done) & echo CANARY; wait`, pipe)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		_, err := p.Mint(ctx, me)
		failed <- err
	}()
	held, err := os.Open(pipe) // once the grandchild is there
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	cancel()
	if n, err := held.Read(make([]byte, 1)); err != io.EOF { // once it is gone
		t.Errorf("the grandchild says %d, %v", n, err)
	}
	wantFailure(t, <-failed, ErrUnavailable, "was stopped")
}

// TestTokenCommandLeavesADaemon: a daemon that a successful command has started, such
// as a passphrase agent, is not killed, and the token is used.
func TestTokenCommandLeavesADaemon(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "held")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	// It ends when its output is read.
	token, err := shell(`(echo alive >"$1") & echo CANARY`, pipe).Mint(t.Context(), me)
	if err != nil || token.Access != "CANARY" {
		t.Fatal(err)
	}
	if said, err := os.ReadFile(pipe); err != nil || string(said) != "alive\n" {
		t.Errorf("%q, %v", said, err)
	}
}

// TestReadCommandOutput: every form of output, and the life of its token.
func TestReadCommandOutput(t *testing.T) {
	now := time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC)
	for printed, want := range map[string]time.Duration{
		"tok\n":                  time.Hour,
		"\ufeff tok \r\n":        time.Hour,
		`{"access_token":"tok"}`: time.Hour,
		`{"access_token":"tok","expires_in":1800,"expires_at":1}`:                                                     30 * time.Minute,
		`{"access_token":"tok","expires_in":"1800"}`:                                                                  30 * time.Minute,
		`{"access_token":"tok","expires_at":1795249800}`:                                                              90 * time.Minute,
		`{"access_token":"tok","expires_at":"2026-11-21T09:30:00+02:00"}`:                                             30 * time.Minute,
		`{"accessToken":"tok","expiresOn":"2026-11-21 08:30:00.000000","expires_on":1795249800,"tokenType":"Bearer"}`: 90 * time.Minute,
		`{"access_token":"tok","expires_in":1e12}`:                                                                    maxLife,
		`{"access_token":"tok","expires_at":"soon"}`:                                                                  time.Hour,
		jwtOf(`{"exp":1795249800}`):                                                                                   90 * time.Minute,
		jwtOf(`{"exp":"x"}`):                                                                                          time.Hour,
	} {
		got, err := readCommandOutput([]byte(printed), now)
		if err != nil || got.Expiry.Sub(now) != want || !got.Minted.Equal(now) || got.Access != "tok" && !strings.HasPrefix(got.Access.Reveal(), "eyJ") {
			t.Errorf("%s: %v %v; want %s", printed, got, err, want)
		}
	}
}

func FuzzReadCommandOutput(f *testing.F) {
	for _, s := range []string{"tok", `{"access_token":"tok","expires_in":3599}`, `{"accessToken":"tok","expires_on":1795248000}`, jwtOf(`{"exp":1795248000}`), "a b", "", "\xff", `{"access_token":{}}`} {
		f.Add([]byte(s))
	}
	now := time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, printed []byte) {
		got, err := readCommandOutput(slices.Clone(printed), now)
		if err == nil && (!isToken(got.Access) || !got.Expiry.After(now) || got.Expiry.After(now.Add(maxLife)) || !got.Refresh.Empty()) {
			t.Errorf("%q %s from %q", got.Access.Reveal(), got.Expiry, printed)
		}
		if err != nil && (strings.ContainsAny(err.Error(), "\r\n\x00") || len(err.Error()) > 300) {
			t.Errorf("%q from %q", err, printed)
		}
	})
}
