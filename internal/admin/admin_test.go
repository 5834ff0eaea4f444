package admin

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"authferry/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// socketPath is short enough for a unix socket, whatever the test is called.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "af")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return PathIn(dir)
}

func serve(t *testing.T, path string, a Actions) *Client {
	t.Helper()
	ln, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s := Serve(ln, a, zap.NewNop())
	t.Cleanup(func() { s.Close() })
	return NewClient(path)
}

var at = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func someSessions() []proxy.SessionInfo {
	from := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
	return []proxy.SessionInfo{
		{ID: 1, Protocol: "imap", Client: from("192.0.2.1:1"), Mailbox: "a@example.org", Password: "CRM", Since: at, Moved: at},
		{ID: 2, Protocol: "smtp", Client: from("[2001:db8::1]:2"), Mailbox: "a@example.org", Password: "Scanner", Since: at, Moved: at},
		{ID: 3, Protocol: "pop3", Client: from("192.0.2.9:3"), Mailbox: "b@example.org", Password: "CRM", Since: at, Moved: at},
	}
}

func TestQuestions(t *testing.T) {
	reloaded, swept := errors.New("config.toml:1: no\nconfig.toml:2: no again"), 0
	c := serve(t, socketPath(t), Actions{
		Status:   func() Status { return Status{Version: "v1", PID: 42} },
		Sessions: someSessions,
		Reload:   func(context.Context) error { return reloaded },
		Sweep:    func() { swept++ },
	})
	ctx := t.Context()
	if s, err := c.Status(ctx); err != nil || s.PID != 42 || s.Version != "v1" {
		t.Errorf("status %+v, %v", s, err)
	}
	if list, err := c.Sessions(ctx); err != nil || len(list) != 3 || list[1].Client != "[2001:db8::1]:2" || !list[0].Since.Equal(at) {
		t.Errorf("sessions %+v, %v", list, err)
	}
	if err := c.Reload(ctx); err == nil || err.Error() != reloaded.Error() {
		t.Errorf("a refused reload says %q", err)
	}
	reloaded = nil
	if err := c.Reload(ctx); err != nil {
		t.Error(err)
	}
	if err := c.Sweep(ctx); err != nil || swept != 1 {
		t.Errorf("%d sweeps, %v", swept, err)
	}
}

func TestKickPicks(t *testing.T) {
	var picked []int64
	c := serve(t, socketPath(t), Actions{Kick: func(match func(proxy.SessionInfo) bool) int {
		picked = nil
		for _, s := range someSessions() {
			if match(s) {
				picked = append(picked, s.ID)
			}
		}
		return len(picked)
	}})
	for _, test := range []struct {
		which Which
		want  int
	}{
		{Which{Mailbox: "A@example.org"}, 2},
		{Which{Password: "crm"}, 2},
		{Which{Mailbox: "a@example.org", Password: "CRM"}, 1},
		{Which{ID: 3}, 1},
		{Which{ID: 3, Mailbox: "a@example.org"}, 0},
		{Which{Address: "192.0.2.0/24"}, 2},
		{Which{Address: "2001:db8::1"}, 1},
		{Which{All: true}, 3},
	} {
		if n, err := c.Kick(t.Context(), test.which); err != nil || n != test.want || len(picked) != test.want {
			t.Errorf("%+v: %d (%v), %v; want %d", test.which, n, picked, err, test.want)
		}
	}
	picked = []int64{}
	for _, which := range []Which{{}, {Address: "nowhere"}} {
		if n, err := c.Kick(t.Context(), which); err == nil || n != 0 || len(picked) != 0 {
			t.Errorf("%+v: %d, %v; want it refused", which, n, err)
		}
	}
}

func TestListen(t *testing.T) {
	path := socketPath(t)
	_, err := NewClient(path).Status(t.Context())
	if !errors.Is(err, ErrNotRunning) || !strings.Contains(err.Error(), path) {
		t.Errorf("without a server: %v", err)
	}
	// A server that died left its socket: replaced.
	dead, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	dead.Close()
	c := serve(t, path, Actions{Status: func() Status { return Status{PID: 7} }})
	if _, err := c.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v, %v", info.Mode(), err)
	}
	// One that lives is not.
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "process 7") {
		t.Errorf("a second server: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".a*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	// Nor is what is no socket.
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file); err == nil {
		t.Error("a file was taken for a socket")
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "mine" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	if _, err := Listen("/" + strings.Repeat("x", maxPath)); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("a long path: %v", err)
	}
}

func TestCloseTakesTheSocketAlong(t *testing.T) {
	path := socketPath(t)
	ln, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Serve(ln, Actions{}, zap.NewNop()).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}
