package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"authferry/internal/protocol"
	"authferry/internal/testtls"
	"authferry/proxy/gate"
)

func echo(c net.Conn, r *bufio.Reader) { io.Copy(c, r) }

func observed(s *Server) *observer.ObservedLogs {
	core, logs := observer.New(zapcore.InfoLevel)
	s.Log = zap.New(core)
	return logs
}

// failingListener fails a few times before it accepts.
type failingListener struct {
	net.Listener
	failures atomic.Int32
}

func (l *failingListener) Accept() (net.Conn, error) {
	if l.failures.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

func TestServeOutlivesFailuresToAccept(t *testing.T) {
	p := startProvider(t, &fakeProvider{protocol: "imap", after: echo})
	w := startWhole(t, p, Plain)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	failing := &failingListener{Listener: ln}
	failing.failures.Store(3)
	served := make(chan error, 1)
	go func() { served <- w.Serve(failing) }()
	if _, err := logIn(ln.Addr().String(), "imap", Plain, nil, w.password, ""); err != nil {
		t.Error(err)
	}
	ln.Close()
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve of a closed listener: %v", err)
	}
}

func TestTooManyConnectionsAreToldSo(t *testing.T) {
	for protocol, want := range map[protocol.Protocol]string{
		"imap": "* BYE too many failures or connections, try again later\r\n",
		"pop3": "-ERR [LOGIN-DELAY] too many failures or connections, try again later\r\n",
		"smtp": "421 4.7.0 ferry.example.org too many failures or connections, try again later\r\n",
	} {
		p := startProvider(t, &fakeProvider{protocol: protocol, after: echo})
		w := startWhole(t, p, Plain, func(s *Server) { s.Gate = gate.New(gate.Limits{Connections: 1}) })
		first := w.login("")
		second, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(second); string(got) != want {
			t.Errorf("%s: %q, %v", protocol, got, err)
		}
		second.Close()
		first.Close()
		if s := w.Metrics.Snapshot(); s.TurnedAway != 1 || s.Protocols[protocol].Connections != 1 {
			t.Errorf("%s: counted %+v", protocol, s)
		}
	}
}

func TestPlainTextOnATLSPort(t *testing.T) {
	for _, tt := range []struct{ name, says string }{{"speaks first", "a LOGIN you hunter2\r\n"}, {"waits for a greeting", ""}} {
		t.Run(tt.name, func(t *testing.T) {
			var logs *observer.ObservedLogs
			p := startProvider(t, &fakeProvider{protocol: "imap", after: echo})
			w := startWhole(t, p, Implicit, func(s *Server) {
				logs = observed(s)
				s.Limits.Command = 100 * time.Millisecond
			})
			c, err := net.Dial("tcp", w.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patient))
			io.WriteString(c, tt.says)
			got, _ := io.ReadAll(c)
			if want := "* BYE this port expects TLS from the first byte: choose SSL/TLS in the mail program\r\n"; string(got) != want {
				t.Errorf("told %q", got)
			}
			until(t, func() bool { return logs.Len() > 0 })
			line := logs.All()[0].ContextMap()
			if s, _ := line["error"].(string); !strings.Contains(s, "choose SSL/TLS") || strings.Contains(s, "hunter2") {
				t.Errorf("logged %v", line)
			}
		})
	}
}

// until waits for something another goroutine is about to do.
func until(t testing.TB, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for late := time.After(patient); !done(); {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("it never came to be")
		}
	}
}

func TestShutdownTellsQuietSessions(t *testing.T) {
	p := startProvider(t, &fakeProvider{protocol: "imap", after: echo})
	w := startWhole(t, p, Implicit)
	quiet, busy := w.login(""), w.login("")
	io.WriteString(busy, "a APPEND x {10}\r\n123") // half a message
	io.ReadFull(busy, make([]byte, 20))

	down := make(chan error, 1)
	go func() { down <- w.Shutdown(t.Context()) }()
	quiet.SetDeadline(time.Now().Add(patient))
	if got, err := io.ReadAll(quiet); string(got) != "* BYE authferry is shutting down\r\n" || err != nil {
		t.Errorf("the quiet session read %q, %v", got, err)
	}
	io.WriteString(busy, "4567890\r\n")
	if _, err := io.ReadFull(busy, make([]byte, 9)); err != nil {
		t.Errorf("the busy session was cut: %v", err)
	}
	busy.Close()
	if err := <-down; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := w.ln.Close(); !errors.Is(err, net.ErrClosed) { // another process may listen there by now
		t.Errorf("the listener is still open: %v", err)
	}
}

func TestShutdownCutsWhatDoesNotEnd(t *testing.T) {
	for _, protocol := range protocol.All {
		p := startProvider(t, &fakeProvider{protocol: protocol, after: echo})
		w := startWhole(t, p, Plain)
		m := w.login("")
		io.WriteString(m, "half a line")
		io.ReadFull(m, make([]byte, 11))
		early, err := net.Dial("tcp", w.addr) // has not logged in
		if err != nil {
			t.Fatal(err)
		}
		if _, err := early.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := w.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		cancel()
		early.Close()
		if open := w.Metrics.Snapshot().Protocols[protocol].Open; open != 0 {
			t.Errorf("%s: %d sessions left", protocol, open)
		}
	}
}

func TestRevokingAPasswordEndsItsSessions(t *testing.T) {
	p := startProvider(t, &fakeProvider{protocol: "pop3", after: echo})
	w := startWhole(t, p, Implicit, func(s *Server) { s.Limits.Sweep = 10 * time.Millisecond })
	m := w.login("")
	io.WriteString(m, "NOOP\r\n")
	m.SetDeadline(time.Now().Add(patient))
	if _, err := io.ReadFull(m, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	if err := w.Vault.RevokePassword(t.Context(), wholeUser, "test"); err != nil {
		t.Fatal(err)
	}
	if n, err := m.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read %d, %v", n, err)
	}
}

func TestMetricsCount(t *testing.T) {
	p := startProvider(t, &fakeProvider{protocol: "imap", after: echo})
	w := startWhole(t, p, Plain)
	m := w.login("")
	io.WriteString(m, "12345\r\n")
	io.ReadFull(m, make([]byte, 7))
	if got := w.Metrics.Snapshot().Protocols["imap"]; got.Open != 1 || got.Sessions != 1 {
		t.Errorf("counted of a session that lives: %+v", got)
	}
	m.Close()
	until(t, func() bool { return w.Metrics.Snapshot().Protocols["imap"].Open == 0 })
	got := w.Metrics.Snapshot().Protocols["imap"]
	timed := int64(0)
	for _, n := range got.LoginTimes.Buckets {
		timed += n
	}
	if got.Sessions != 0 || timed != 1 || got.LoginTimes.Sum <= 0 {
		t.Errorf("counted %+v", got)
	}
	if got.Connections != 1 || got.Logins != 1 || got.Sent != 7 || got.Received != 7 {
		t.Errorf("counted %+v", got)
	}
}

// TestBugInASession: what a panic says may be a password.
func TestBugInASession(t *testing.T) {
	var logs *observer.ObservedLogs
	p := startProvider(t, &fakeProvider{protocol: "imap", after: echo})
	w := startWhole(t, p, Implicit, func(s *Server) {
		logs = observed(s)
		s.TLS.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { panic("hunter2") }
		s.TLS.Certificates = nil
	})
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := tls.Client(c, testtls.ClientTLS()).Handshake(); err == nil {
		t.Error("the handshake succeeded")
	}
	until(t, func() bool { return logs.Len() > 0 })
	if s, _ := logs.All()[0].ContextMap()["error"].(string); !strings.Contains(s, "panic: string") || strings.Contains(s, "hunter2") {
		t.Errorf("logged %q", s)
	}
	until(t, func() bool { return w.Metrics.Snapshot().Protocols["imap"].Open == 0 })
}
