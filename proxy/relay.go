package proxy

import (
	"crypto/tls"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// bufferSize is what each direction of a relay borrows while bytes flow.
	bufferSize = 4 * tlsRecord
	// enough is when to write instead of reading on. Fewer and bigger writes
	// save up to a tenth of the CPU time of a big download; beyond this size
	// nothing is gained. A record may still fit behind it.
	enough = bufferSize - tlsRecord
	// tlsRecord is the most plaintext that fits a TLS record (RFC 8446 §5.1).
	// Smaller records cost CPU: each is a system call here and there, and a
	// sealing of its own.
	tlsRecord = 16 << 10

	// halfCloseGrace is how long a provider may stay silent after the client
	// has closed its side, and lingering is how long a client may take to close
	// after the provider has. Closing sooner would reset the connection if the
	// client is still sending, and a reset can destroy what is under way to it.
	halfCloseGrace = 30 * time.Second
	lingering      = 5 * time.Second
)

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// relaying is one session's bytes on their way.
type relaying struct {
	client, provider *lineConn

	sent, received atomic.Int64 // bytes from and to the client

	toClient   sync.Mutex   // held while writing to the client
	moved      atomic.Int64 // when bytes last moved, Unix nanoseconds
	fromClient atomic.Int32 // the last byte from the client, -1 before any
	lineEnd    atomic.Bool  // the last bytes to the client ended a line

	halfClosed atomic.Bool // the client has closed its side
	over       atomic.Bool // the provider has ended, one way or another

	end    ending // why it ended
	one    sync.Once
	finish func(ending)

	directions atomic.Int32 // still going
}

// ending says which side ended a session and why.
type ending struct {
	side string // "client", "provider" or "authferry"
	err  error  // nil: properly
}

func newRelay(client, provider *lineConn) *relaying {
	r := &relaying{client: client, provider: provider}
	r.fromClient.Store(-1)
	r.lineEnd.Store(true)
	r.moved.Store(time.Now().UnixNano())
	return r
}

// start carries bytes both ways until the provider ends, closes both
// connections, and calls ended. All three protocols have the server close last,
// so it is the provider that ends a session; a client that closes its side may
// still wait for an answer.
//
// Each direction gets a new goroutine: the one that shook hands has a big stack,
// and would keep it for as long as the session idles.
func (r *relaying) start(stall time.Duration, ended func(ending)) {
	fromClient, fromProvider := r.client.unread(), r.provider.unread()
	if err := errors.Join(r.client.wire.flow(stall), r.provider.wire.flow(stall)); err != nil {
		r.ended("authferry", err)
		r.abort()
	}
	r.directions.Store(2)
	r.finish = ended
	go r.send(fromClient)
	go r.receive(fromProvider)
}

// done is deferred to the end of each direction.
func (r *relaying) done() {
	if v := recover(); v != nil {
		r.ended("authferry", panicError(v))
		r.abort()
	}
	if r.directions.Add(-1) == 0 {
		r.client.Close()
		r.finish(r.end)
	}
}

// receive carries bytes from the provider to the client until the provider ends.
func (r *relaying) receive(early []byte) {
	defer r.done()
	side, err := r.pump(r.client, r.provider, early, &r.received)
	r.ended(side, err)
	r.over.Store(true)
	switch {
	case side == "client":
		r.client.wire.Close() // no closing alert: it could not be written either
	case err != nil:
		r.client.wire.CloseWrite() // nor may TLS vouch for a stream that was cut
	default:
		closeWrite(r.client)
	}
	r.client.wire.SetReadDeadline(time.Now().Add(lingering))
	r.provider.Close()
}

// send carries bytes from the client to the provider until the client closes,
// and tells the provider so. What the client still sends once the provider has
// ended is read and dropped, so that closing does not reset its connection.
func (r *relaying) send(early []byte) {
	defer r.done()
	side, err := r.pump(r.provider, r.client, early, &r.sent)
	if r.over.Load() {
		if side == "provider" {
			r.drop()
		}
		return
	}
	if side == "provider" {
		r.ended(side, err)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			r.abort() // stopped reading
			return
		}
		// It takes no more, but may have said why.
		r.provider.wire.SetReadDeadline(time.Now().Add(lingering))
		r.drop()
		return
	}
	if err != nil {
		r.ended(side, err) // reset, or broken TLS: nobody is there to be answered
		r.abort()
		return
	}
	r.halfClosed.Store(true)
	closeWrite(r.provider)
	r.provider.wire.SetReadDeadline(time.Now().Add(halfCloseGrace))
}

// pump copies until src ends or dst takes no more, and tells which side that
// was; the error is nil for a proper end of src. It owns a buffer only while
// bytes flow.
func (r *relaying) pump(dst, src *lineConn, early []byte, count *atomic.Int64) (side string, err error) {
	if len(early) > 0 {
		if err := r.pass(dst, early, count); err != nil {
			return r.name(dst), err
		}
	}
	in := inputOf(src)
	for {
		side, err := r.burst(dst, src, &in, count)
		if err == nil {
			side, err = r.name(src), r.wait(src)
		}
		if err == io.EOF {
			return side, nil
		}
		if err != nil {
			return side, err
		}
	}
}

// burst copies until src has nothing more for now.
func (r *relaying) burst(dst, src *lineConn, in *input, count *atomic.Int64) (side string, err error) {
	b := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(b)
	in.lend()
	for {
		n, err := fill(src, b[:])
		if n > 0 {
			if err := r.pass(dst, b[:n], count); err != nil {
				return r.name(dst), err
			}
		}
		switch {
		case err == nil:
		case err == errIdle, r.halfClosed.Load() && errors.Is(err, os.ErrDeadlineExceeded):
			in.takeBack()
			return "", nil // in the second case, wait gives the provider new time
		default:
			return r.name(src), err
		}
	}
}

// fill reads what is there, up to enough. It never waits: what was sent in one
// piece goes on in one piece.
func fill(src *lineConn, b []byte) (n int, err error) {
	for n < enough && err == nil {
		var m int
		m, err = src.Conn.Read(b[n:])
		n += m
	}
	return n, err
}

// pass writes bytes and notes what the rest of the program wants to know of them.
func (r *relaying) pass(dst *lineConn, b []byte, count *atomic.Int64) error {
	if dst == r.client {
		r.toClient.Lock()
		defer r.toClient.Unlock()
		r.lineEnd.Store(b[len(b)-1] == '\n' && (len(b) == 1 || b[len(b)-2] == '\r'))
	} else {
		r.fromClient.Store(int32(b[len(b)-1]))
	}
	n, err := dst.Conn.Write(b)
	count.Add(int64(n))
	r.moved.Store(time.Now().UnixNano())
	return err
}

// wait waits for src to have something. Once the client has closed its side,
// the provider has a limit to its silence.
func (r *relaying) wait(src *lineConn) error {
	if src == r.provider && r.halfClosed.Load() {
		if err := src.wire.SetReadDeadline(time.Now().Add(halfCloseGrace)); err != nil {
			return err
		}
	}
	return src.wire.wait()
}

// drop reads what the client still sends and forgets it, until it closes or its
// read deadline.
func (r *relaying) drop() {
	var b [512]byte
	for {
		_, err := r.client.Conn.Read(b[:])
		if err == errIdle {
			err = r.client.wire.wait()
		}
		if err != nil {
			return
		}
	}
}

func (r *relaying) name(c *lineConn) string {
	if c == r.client {
		return "client"
	}
	return "provider"
}

// ended notes the first reason for the end of a session.
func (r *relaying) ended(side string, err error) {
	r.one.Do(func() { r.end = ending{side, err} })
}

// abort closes both connections at once, without another word.
func (r *relaying) abort() {
	r.client.wire.Close()
	r.provider.wire.Close()
}

// closeWrite tells a peer that no more bytes come: TLS's closing alert, then TCP's FIN.
func closeWrite(c *lineConn) {
	if t, ok := c.Conn.(*tls.Conn); ok {
		t.CloseWrite()
	}
	c.wire.CloseWrite()
}

// hangUp ends the session from outside. say, if not nil, gets to tell the
// client, provided that it would not break into anything.
func (r *relaying) hangUp(why error, say func(*lineConn) error) (said bool) {
	if say != nil {
		if !r.toClient.TryLock() {
			return false
		}
		defer r.toClient.Unlock()
		if !r.quiet(time.Now()) {
			return false
		}
		r.ended("authferry", why)
		r.client.SetWriteDeadline(time.Now().Add(time.Second))
		say(r.client)
		r.client.Close()
	}
	r.ended("authferry", why)
	r.abort()
	return true
}

// quiet tells whether a line from us would interrupt nothing: neither side has
// sent anything for a while, and what each sent last ended a line.
func (r *relaying) quiet(now time.Time) bool {
	last := r.fromClient.Load()
	return now.Sub(time.Unix(0, r.moved.Load())) >= quietAfter &&
		r.lineEnd.Load() && (last == '\n' || last == -1)
}

const quietAfter = time.Second
