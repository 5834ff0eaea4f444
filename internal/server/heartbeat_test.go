package server

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

// TestHeartbeat: an accept loop that turns is alive, with connections and without;
// one that is stuck is found.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", ":0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			inner, err := net.Listen("tcp", address)
			if err != nil {
				t.Skipf("no %s here: %v", address, err)
			}
			ln := newBeating(inner.(*net.TCPListener))
			ln.every = time.Millisecond
			defer ln.Close()
			begin := *ln.last.Load()
			if err := ln.alive(begin.Add(stuckAfter)); err != nil {
				t.Errorf("a listener that has just been opened: %v", err)
			}
			// Without Accept, the kernel takes the connection all the same.
			conn, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := ln.alive(begin.Add(stuckAfter + 1)); !errors.Is(err, errStuck) {
				t.Errorf("without Accept: %v", err)
			}
			got, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			got.Close()
			if got.RemoteAddr().String() != conn.LocalAddr().String() {
				t.Errorf("accepted %s, not %s", got.RemoteAddr(), conn.LocalAddr())
			}
			if err := ln.alive(begin.Add(stuckAfter + 1)); err != nil {
				t.Errorf("after Accept: %v", err)
			}
			// The loop handles that connection for too long.
			if err := ln.alive(ln.last.Load().Add(stuckAfter + 1)); !errors.Is(err, errStuck) {
				t.Errorf("between two calls of Accept: %v", err)
			}
			// Accept waits, and nothing comes.
			ended := make(chan error)
			go func() { _, err := ln.Accept(); ended <- err }()
			for was, beats := ln.last.Load(), 0; beats < 5; {
				if now := ln.last.Load(); now != was {
					was = now
					beats++
				}
				if t.Context().Err() != nil || time.Since(begin) > time.Minute {
					t.Fatal("no heartbeat while Accept waits")
				}
			}
			ln.Close()
			if err := <-ended; !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept of a closed listener: %v", err)
			}
		})
	}
}

// TestWatchdogNeedsSystemd: without systemd it returns.
func TestWatchdogNeedsSystemd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		watchdog(context.Background(), func() error { return nil }, zap.NewNop())
	})
}
