package relay

import (
	"bytes"
	"net"
	"sync/atomic"
	"time"
)

// Wire is a TCP connection below TLS that can be read without waiting, so that a
// relay needs no buffer while nothing is sent.
//
// Before the login it reads and writes as any connection. After flow, Read returns
// errIdle when nothing has arrived, and wait waits until something has. crypto/tls
// allows that: a tls.Conn keeps its state, half a record included, after an error
// whose Temporary method returns true (readRecordOrCCS in crypto/tls/conn.go), and
// continues at the next Read.
//
// It deliberately hides ReadFrom and WriteTo of the connection within: they would
// copy through their own buffers, in sizes that make small TLS records.
type Wire struct {
	net.Conn
	flowing bool
	heard   bool     // something has been read
	back    []byte   // put back by Unread
	records *records // nil: no TLS
	sock    *socket  // nil: none that can be read without waiting (Windows, net.Pipe); see ahead
	ahead   *readAhead

	// stall is how long a write may make no progress while flowing. Only a write
	// that blocks sets the deadline, so others cost nothing.
	stall time.Duration
	// deadline means that the caller has set a write deadline (tls.Conn does for
	// its closing alert), which then applies.
	deadline atomic.Bool
}

// NewWire returns a wire on a connection.
func NewWire(c net.Conn) *Wire { return &Wire{Conn: c} }

// Heard reports whether anything has been read before the relay began.
func (w *Wire) Heard() bool { return w.heard }

// ResetHeard makes Heard report false until more is read.
func (w *Wire) ResetHeard() { w.heard = false }

// Unread puts back bytes that were read to find out what follows.
func (w *Wire) Unread(p []byte) {
	if len(p) > 0 {
		w.back = append(bytes.Clone(p), w.back...)
	}
}

// forTLS prepares the wire for TLS on top of it.
func (w *Wire) forTLS() net.Conn {
	w.records = new(records)
	return w
}

// flow makes Read return errIdle instead of waiting from now on. It removes the
// deadlines of the conversation before.
func (w *Wire) flow(stall time.Duration) error {
	if err := w.SetDeadline(time.Time{}); err != nil {
		return err
	}
	w.sock, w.stall, w.flowing = newSocket(w.Conn), stall, true
	if w.sock == nil {
		w.ahead = new(readAhead)
	}
	return nil
}

func (w *Wire) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if w.records != nil {
		return w.records.read(w, p)
	}
	return w.read(p, nil)
}

// read fills p, and may go on to q.
func (w *Wire) read(p, q []byte) (int, error) {
	switch {
	case !w.flowing && len(w.back) > 0:
		n := copy(p, w.back)
		w.back = w.back[n:]
		return n, nil
	case !w.flowing:
		n, err := w.Conn.Read(p)
		w.heard = w.heard || n > 0
		return n, err
	case w.sock != nil:
		return w.sock.read(p, q)
	}
	return w.ahead.read(p)
}

// wait returns when Read has bytes or an error to return. The goroutine waits in
// the runtime's poller and owns no buffer meanwhile. Close and a read deadline
// end it.
func (w *Wire) wait() error {
	if w.sock != nil {
		return w.sock.wait()
	}
	return w.ahead.wait(w.Conn)
}

// acknowledgeAtOnce is for a peer that waits for an acknowledgement before it sends
// the rest of a command. Call it after flow.
func (w *Wire) acknowledgeAtOnce() {
	if w.sock != nil {
		w.sock.prompt = true
	}
}

func (w *Wire) Write(p []byte) (int, error) {
	if !w.flowing || w.deadline.Load() {
		return w.Conn.Write(p)
	}
	if w.sock != nil {
		return w.sock.write(w.Conn, p, w.stall)
	}
	if err := w.Conn.SetWriteDeadline(time.Now().Add(w.stall)); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}

func (w *Wire) SetDeadline(t time.Time) error {
	w.deadline.Store(!t.IsZero())
	return w.Conn.SetDeadline(t)
}

func (w *Wire) SetWriteDeadline(t time.Time) error {
	w.deadline.Store(!t.IsZero())
	return w.Conn.SetWriteDeadline(t)
}

// CloseWrite tells the peer that no more bytes follow.
func (w *Wire) CloseWrite() error {
	if c, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// records makes reads end where TLS records end (RFC 8446 §5.1). A tls.Conn never
// frees its input buffer, and grows it when a read returns half a record more than
// it asked for: to 40 kB instead of 18, for each connection that ever carried a
// long message.
type records struct {
	rest int // of the record being read
	// head is the header of the next record: how much of it is known, and how
	// much of that Read has returned.
	head       [5]byte
	known, out int
}

func (r *records) read(w *Wire, p []byte) (n int, err error) {
	switch {
	case r.rest > 0:
		p = p[:min(len(p), r.rest)]
		var q []byte
		if len(p) == r.rest {
			q = r.head[:] // the next header needs no system call of its own
		}
		n, err = w.read(p, q)
		if more := n - len(p); more > 0 {
			r.known, n = more, len(p)
		}
		r.rest -= n
		return n, err
	case r.out < r.known:
		n = copy(p, r.head[r.out:r.known])
	default:
		n, err = w.read(p[:min(len(p), len(r.head)-r.known)], nil)
		r.known += copy(r.head[r.known:], p[:n])
	}
	r.out += n
	if r.out == len(r.head) {
		r.rest = int(r.head[3])<<8 | int(r.head[4])
		r.known, r.out = 0, 0
	}
	return n, err
}

// idleError means that nothing has arrived yet. It is a net.Error because
// crypto/tls keeps a connection usable after temporary ones.
type idleError struct{}

var errIdle error = idleError{}

func (idleError) Error() string   { return "nothing to read yet" }
func (idleError) Timeout() bool   { return true }
func (idleError) Temporary() bool { return true }

// readAhead replaces socket for connections that cannot be read without waiting:
// wait reads, and read returns what it got. While idle it has a small buffer; it
// takes a big one only after a read that filled the one before.
type readAhead struct {
	small [512]byte
	big   *[bufferSize]byte
	buf   []byte // read ahead and not yet returned
	full  bool
	err   error
}

func (a *readAhead) read(p []byte) (int, error) {
	if len(a.buf) > 0 {
		n := copy(p, a.buf)
		if a.buf = a.buf[n:]; len(a.buf) == 0 && a.big != nil {
			buffers.Put(a.big)
			a.big = nil
		}
		return n, nil
	}
	if a.err != nil {
		return 0, a.err
	}
	return 0, errIdle
}

func (a *readAhead) wait(c net.Conn) error {
	if len(a.buf) > 0 || a.err != nil {
		return nil
	}
	p := a.small[:]
	if a.full {
		a.big = buffers.Get().(*[bufferSize]byte)
		p = a.big[:]
	}
	n, err := c.Read(p)
	a.buf, a.full = p[:n], n == len(p)
	if e, ok := err.(net.Error); ok && e.Timeout() {
		return err // of a deadline, which may be moved: not the end
	}
	a.err = err
	return nil
}
