package relay

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"authferry/internal/printable"
)

const (
	// tlsRecord is the most plaintext that fits a TLS record (RFC 8446 §5.1).
	// Smaller records cost CPU time: each takes a system call on both machines and
	// is encrypted separately.
	tlsRecord = 16 << 10
	// bufferSize is what each direction of a relay borrows while bytes flow.
	bufferSize = 4 * tlsRecord
	// enough is when to write instead of reading on. Fewer and bigger writes
	// save up to a tenth of the CPU time of a big download; beyond this size
	// nothing is gained. A record may still fit behind it.
	enough = bufferSize - tlsRecord
)

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// direction is one half of a relay: what src sends goes to dst.
//
// Two goroutines take turns. watch waits in less than the 2 kB of stack that a
// goroutine begins with; when bytes arrive it starts flow, whose stack TLS makes
// grow, and ends. When no more arrive, flow starts watch and ends. So an idle
// direction has no buffer and the smallest stack.
type direction struct {
	relay    *Relay
	src, dst *Conn
	early    []byte        // what src sent before the relay began
	bytes    atomic.Int64  // sent to dst so far
	last     atomic.Uint32 // the last two of them
}

// flow sends what src has, then leaves the waiting to watch.
func (d *direction) flow() {
	defer d.rescue()
	side, err := d.burst()
	if err == nil {
		go d.watch()
		return
	}
	d.relay.finished(d, side, properly(err))
}

// watch waits until src has something. Once the client has closed its side, the
// provider may be silent for halfCloseGrace at most.
func (d *direction) watch() {
	defer d.rescue()
	if d.src == d.relay.provider && d.relay.halfClosed.Load() {
		d.src.Wire.SetReadDeadline(time.Now().Add(halfCloseGrace))
	}
	if err := d.src.Wire.wait(); err != nil {
		d.relay.finished(d, d.name(d.src), properly(err))
		return
	}
	go d.flow()
}

// rescue ends this session alone after a panic.
func (d *direction) rescue() {
	if v := recover(); v != nil {
		d.relay.End("authferry", printable.Panic(v))
		d.relay.closeBoth()
		d.relay.finished(d, "authferry", d.relay.end.Err)
	}
}

func properly(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// burst sends what src has for now. side is the one that an error is of.
func (d *direction) burst() (side string, err error) {
	if len(d.early) > 0 {
		early := d.early
		d.early = nil
		if err := d.pass(early); err != nil {
			return d.name(d.dst), err
		}
	}
	b := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(b)
	for {
		n, err := fill(d.src, b[:])
		if n > 0 {
			if err := d.pass(b[:n]); err != nil {
				return d.name(d.dst), err
			}
		}
		switch {
		case err == nil:
		case err == errIdle, d.relay.halfClosed.Load() && errors.Is(err, os.ErrDeadlineExceeded):
			return "", nil // in the second case, watch sets the provider's next deadline
		default:
			return d.name(d.src), err
		}
	}
}

// fill reads what there is, up to enough. It never waits: what was sent in one
// piece is sent on in one piece.
func fill(src *Conn, b []byte) (n int, err error) {
	for n < enough && err == nil {
		var m int
		m, err = src.Conn.Read(b[n:])
		n += m
	}
	return n, err
}

// pass sends bytes to dst, through the filter if there is one.
func (d *direction) pass(b []byte) (err error) {
	if d.dst == d.relay.client {
		d.relay.toClient.Lock()
		defer d.relay.toClient.Unlock()
	}
	if d.relay.Filter == nil {
		return d.put(b)
	}
	if d.src == d.relay.client {
		return d.relay.Filter.FromClient(b)
	}
	if b, err = d.relay.Filter.FromProvider(b); len(b) > 0 {
		err = errors.Join(d.put(b), err)
	}
	return err
}

// put writes bytes to dst, and notes how many, when, and the last two.
func (d *direction) put(b []byte) error {
	end := uint32(b[len(b)-1])
	if len(b) > 1 {
		end |= uint32(b[len(b)-2]) << 8
	} else {
		end |= d.last.Load() << 8 & 0xff00
	}
	d.last.Store(end)
	n, err := d.dst.Conn.Write(b)
	d.bytes.Add(int64(n))
	d.relay.moved.Store(time.Now().UnixNano())
	return err
}

// lineEnded reports whether the last bytes sent ended a line. Those of clients may
// end in a bare LF.
func (d *direction) lineEnded() bool {
	last := d.last.Load()
	return last == 0 || last == '\r'<<8|'\n' || d.src == d.relay.client && last&0xff == '\n'
}

func (d *direction) name(c *Conn) string {
	if c == d.relay.client {
		return "client"
	}
	return "provider"
}
