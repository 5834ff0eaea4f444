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
	// Smaller records cost CPU: each is a system call here and there, and a
	// sealing of its own.
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
// It goes from goroutine to goroutine. watch waits, needing less than the 2 kB
// stack a goroutine begins with; when something has come it starts flow, whose
// stack TLS makes grow, and ends. Once nothing comes, flow starts watch, and
// ends. So a direction that idles owns no buffer and the least of stacks.
type direction struct {
	*Relay
	src, dst *Conn
	early    []byte        // what src sent before the relay began
	bytes    atomic.Int64  // passed on so far
	last     atomic.Uint32 // the last two of them
}

// flow passes on what src has, then leaves the waiting to watch.
func (d *direction) flow() {
	defer d.rescue()
	side, err := d.burst()
	if err == nil {
		go d.watch()
		return
	}
	d.finished(d, side, properly(err))
}

// watch waits for src to have something. Once the client has closed its side,
// the provider has a limit to its silence.
func (d *direction) watch() {
	defer d.rescue()
	if d.src == d.provider && d.halfClosed.Load() {
		d.src.Wire.SetReadDeadline(time.Now().Add(halfCloseGrace))
	}
	if err := d.src.Wire.wait(); err != nil {
		d.finished(d, d.name(d.src), properly(err))
		return
	}
	go d.flow()
}

// rescue keeps a bug from ending the other sessions.
func (d *direction) rescue() {
	if v := recover(); v != nil {
		d.End("authferry", printable.Panic(v))
		d.closeBoth()
		d.finished(d, "authferry", d.end.Err)
	}
}

func properly(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// burst passes on what src has for now. An error comes with the side it is of.
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
		case err == errIdle, d.halfClosed.Load() && errors.Is(err, os.ErrDeadlineExceeded):
			return "", nil // in the second case, watch gives the provider new time
		default:
			return d.name(d.src), err
		}
	}
}

// fill reads what is there, up to enough. It never waits: what was sent in one
// piece goes on in one piece.
func fill(src *Conn, b []byte) (n int, err error) {
	for n < enough && err == nil {
		var m int
		m, err = src.Conn.Read(b[n:])
		n += m
	}
	return n, err
}

// pass passes bytes on, or has them read where a password may do less.
func (d *direction) pass(b []byte) (err error) {
	if d.dst == d.client {
		d.toClient.Lock()
		defer d.toClient.Unlock()
	}
	if d.Filter == nil {
		return d.put(b)
	}
	if d.src == d.client {
		return d.Filter.FromClient(b)
	}
	if b, err = d.Filter.FromProvider(b); len(b) > 0 {
		err = errors.Join(d.put(b), err)
	}
	return err
}

// put writes bytes, and notes what others want to know of them.
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
	d.moved.Store(time.Now().UnixNano())
	return err
}

// lineEnded tells whether the last bytes passed on ended a line. Clients may end
// theirs in a bare LF.
func (d *direction) lineEnded() bool {
	last := d.last.Load()
	return last == 0 || last == '\r'<<8|'\n' || d.src == d.client && last&0xff == '\n'
}

func (d *direction) name(c *Conn) string {
	if c == d.client {
		return "client"
	}
	return "provider"
}
