package relay

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"authferry/internal/testtls"
)

// patient bounds every wait for something that must happen.
const patient = 20 * time.Second

// tcpPair is a connection of TCP over loopback, seen from both ends.
func tcpPair(t testing.TB) (ours, theirs *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	a, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

// flowingWire returns a wire after flow, over a socket or over a connection that
// cannot be read without waiting, as on systems that have no socket type.
func flowingWire(t testing.TB, socket bool) (*Wire, *net.TCPConn) {
	t.Helper()
	ours, theirs := tcpPair(t)
	w := NewWire(ours)
	if !socket {
		w = NewWire(struct{ net.Conn }{ours})
	}
	if err := w.flow(patient); err != nil {
		t.Fatal(err)
	}
	if socket != (w.sock != nil) && runtime.GOOS != "windows" {
		t.Fatalf("asked for a socket: %v, got %v", socket, w.sock)
	}
	return w, theirs
}

func onBothWires(t *testing.T, f func(t *testing.T, w *Wire, theirs *net.TCPConn)) {
	for name, socket := range map[string]bool{"socket": true, "read ahead": false} {
		t.Run(name, func(t *testing.T) {
			w, theirs := flowingWire(t, socket)
			f(t, w, theirs)
		})
	}
}

func TestWireReadDoesNotWait(t *testing.T) {
	onBothWires(t, func(t *testing.T, w *Wire, theirs *net.TCPConn) {
		var b [100]byte
		if n, err := w.Read(b[:]); n != 0 || err != errIdle {
			t.Fatalf("with nothing to read: %d, %v", n, err)
		}
		io.WriteString(theirs, "hello")
		if err := w.wait(); err != nil {
			t.Fatal(err)
		}
		if n, err := w.Read(b[:]); string(b[:n]) != "hello" || err != nil {
			t.Fatalf("read %q, %v", b[:n], err)
		}
		if n, err := w.Read(b[:]); n != 0 || err != errIdle {
			t.Fatalf("after all was read: %d, %v", n, err)
		}
		theirs.CloseWrite()
		if err := w.wait(); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Read(b[:]); err != io.EOF {
			t.Fatalf("at the end: %v", err)
		}
	})
}

func TestWireWaitEndsWhenClosed(t *testing.T) {
	onBothWires(t, func(t *testing.T, w *Wire, _ *net.TCPConn) {
		woken := make(chan error)
		go func() {
			err := w.wait()
			if err == nil {
				_, err = w.Read(make([]byte, 1))
			}
			woken <- err
		}()
		w.Close()
		if err := <-woken; !errors.Is(err, net.ErrClosed) {
			t.Fatal(err)
		}
	})
}

// TestWireWaitLeavesAResetToRead: Read returns a reset that arrived before wait was
// called. If wait used it up, the stream would seem to have ended properly.
func TestWireWaitLeavesAResetToRead(t *testing.T) {
	onBothWires(t, func(t *testing.T, w *Wire, theirs *net.TCPConn) {
		theirs.SetLinger(0) // Close resets, and is heard of at once on loopback
		theirs.Close()
		for {
			err := w.wait()
			if err == nil {
				_, err = w.Read(make([]byte, 1))
			}
			if err == errIdle {
				continue
			}
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("a reset reads as %v", err)
			}
			return
		}
	})
}

func TestWireWaitHasADeadline(t *testing.T) {
	onBothWires(t, func(t *testing.T, w *Wire, theirs *net.TCPConn) {
		w.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if err := w.wait(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		w.SetReadDeadline(time.Time{})
		io.WriteString(theirs, "x")
		if err := w.wait(); err != nil {
			t.Fatalf("with the deadline lifted: %v", err)
		}
	})
}

func TestWireWriteGivesUpOnAStalledPeer(t *testing.T) {
	onBothWires(t, func(t *testing.T, w *Wire, theirs *net.TCPConn) {
		w.stall = 20 * time.Millisecond
		chunk := make([]byte, 1<<20)
		for sent := 0; ; sent += len(chunk) {
			if _, err := w.Write(chunk); errors.Is(err, os.ErrDeadlineExceeded) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
			if sent > 1<<30 {
				t.Fatal("a gigabyte was accepted that the peer did not read")
			}
		}
	})
}

// TestWireUnderTLS cuts TLS records into pieces, so that they come in several
// reads with errIdle between, and sends some in one piece.
func TestWireUnderTLS(t *testing.T) {
	ours, theirs := tcpPair(t)
	relay, far := tcpPair(t)
	go func() { // cuts
		b := make([]byte, 40_000)
		for {
			n, err := theirs.Read(b[:1+rand.IntN(len(b))])
			if err != nil {
				relay.CloseWrite()
				return
			}
			relay.Write(b[:n])
		}
	}()
	go io.Copy(theirs, relay)

	w := NewWire(far)
	server := tls.Server(w.forTLS(), testtls.ServerTLS())
	client := tls.Client(ours, testtls.ClientTLS())
	want := random(3 << 20)
	sent := make(chan error, 1)
	go func() {
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 1+rand.IntN(50_000))
			if _, err := client.Write(rest[:n]); err != nil {
				sent <- err
				return
			}
			rest = rest[n:]
		}
		sent <- client.CloseWrite()
	}()
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := w.flow(patient); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	b, err := make([]byte, bufferSize), error(nil)
	for err == nil {
		var n int
		n, err = server.Read(b)
		got.Write(b[:n])
		if err == errIdle {
			err = w.wait()
		}
	}
	if err != io.EOF {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Fatalf("%d bytes arrived as %d others", len(want), got.Len())
	}
}

// random returns bytes that no two calls share.
func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(rand.Int()), byte(rand.Int()), byte(n)}).Read(b)
	return b
}
