//go:build unix

package alert

import (
	"context"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// TestCommandHangs: a command that takes too long is stopped, with what it has
// started.
func TestCommandHangs(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	hang := []string{os.Args[0], "play", "hang", ln.Addr().String()}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- runCommand(ctx, hang, sample(), commandTime) }()
	grandchild, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer grandchild.Close()
	cancel()
	if err := <-stopped; err == nil || !strings.Contains(err.Error(), "was stopped") {
		t.Errorf("%v", err)
	}
	grandchild.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.Copy(io.Discard, grandchild); os.IsTimeout(err) {
		t.Error("what the command has started lives on")
	}
	if err := runCommand(t.Context(), hang, sample(), time.Millisecond); err == nil || !strings.Contains(err.Error(), "was stopped after 1ms") {
		t.Errorf("%v", err)
	}
}
