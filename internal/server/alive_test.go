package server

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// acceptor accepts from a listener whenever it is told to.
type acceptor struct {
	ln   *watched
	next chan struct{}
	got  chan net.Conn
}

func newAcceptor(t *testing.T, address string) *acceptor {
	t.Helper()
	inner, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("no %s here: %v", address, err)
	}
	a := &acceptor{ln: watch(inner), next: make(chan struct{}), got: make(chan net.Conn, 10)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range a.next {
			conn, err := a.ln.Accept()
			if err != nil {
				return
			}
			a.got <- conn
		}
	}()
	t.Cleanup(func() {
		inner.Close()
		close(a.next)
		<-done
		close(a.got)
		for conn := range a.got {
			conn.Close()
		}
	})
	return a
}

func TestAlive(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", ":0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			a := newAcceptor(t, address)
			// Nobody accepts: the kernel takes the connection all the same.
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // enough to connect on a busy machine
			defer cancel()
			if err := a.ln.alive(ctx); !errors.Is(err, errStuck) {
				t.Fatalf("a listener that nobody accepts from: %v", err) // what follows would wait for a probe
			}
			// Somebody does; the probe before is a connection like any other by now.
			a.next <- struct{}{}
			(<-a.got).Close()
			if err := a.ln.alive(t.Context()); err != nil {
				t.Errorf("one has been accepted: %v", err)
			}
			a.next <- struct{}{}
			if err := a.ln.alive(t.Context()); err != nil {
				t.Errorf("a listener that somebody accepts from: %v", err)
			}
			// The probe is not handed on: what is, is the mail program's.
			conn, err := net.Dial("tcp", a.ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			got := <-a.got
			if got.RemoteAddr().String() != conn.LocalAddr().String() {
				t.Errorf("accepted %s, not %s", got.RemoteAddr(), conn.LocalAddr())
			}
			got.Close()
		})
	}
}

// TestWatchdogIsNotForEverybody: without systemd it goes away.
func TestWatchdogIsNotForEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		new(Server).watchdog(t.Context())
	})
}
