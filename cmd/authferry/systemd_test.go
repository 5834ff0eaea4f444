//go:build unix

package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTellsSystemd: the states that a unit of type notify-reload requires, in order.
func TestTellsSystemd(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "af") // a socket's path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(patience))
	hear := func() string {
		t.Helper()
		b := make([]byte, 4096)
		n, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	path := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(path, []byte("listen = ['imap://127.0.0.1:0']\nstore = 'file:state'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := startProcess(dir, append(os.Environ(), "NOTIFY_SOCKET="+socket), "serve", "--config", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	if s := hear(); s != "READY=1" {
		t.Errorf("first %q", s)
	}
	p.signal(syscall.SIGHUP)
	if s := hear(); !strings.HasPrefix(s, "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("at a reload %q", s)
	}
	if s := hear(); s != "READY=1" {
		t.Errorf("after a reload %q", s)
	}
	p.signal(syscall.SIGTERM)
	if s := hear(); s != "STOPPING=1" {
		t.Errorf("at the end %q", s)
	}
	if code, err := p.wait(); code != exitDone || err != nil {
		t.Errorf("exit code %d, %v", code, err)
	}
}
