package proxy

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"sync"
	"unsafe"
)

// A tls.Conn reads records into a buffer that it grows as it needs and keeps
// for its whole life: 3 kB after a handshake, up to 120 kB once a long message
// has passed, for each of the two connections of a session that then idles for
// hours. There is no way to ask for it back, so this file reaches for it: while
// bytes flow the buffer is one borrowed from a pool, big enough to read two
// records at once and never to be grown; while nothing flows there is none.
//
// The fields are found by name and type when the program starts. Should a
// future Go have them no more, connections keep what they allocate, and
// TestTLSInputIsLent says so.

// inputSize holds two full records. From about 35 kB on bytes.Buffer can always
// slide an incomplete record down instead of growing.
const inputSize = 36 << 10

var inputs = sync.Pool{New: func() any { return new([inputSize]byte) }}

var (
	rawInput, haveRawInput = bufferIn("rawInput") // records not yet opened
	handInput, haveHand    = bufferIn("hand")     // of a handshake, and empty after it
)

// bufferIn finds a bytes.Buffer in tls.Conn.
func bufferIn(name string) (offset uintptr, ok bool) {
	f, ok := reflect.TypeFor[tls.Conn]().FieldByName(name)
	return f.Offset, ok && f.Type == reflect.TypeFor[bytes.Buffer]()
}

func bufferAt(c *tls.Conn, offset uintptr) *bytes.Buffer {
	return (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), offset))
}

// input is the buffer lent to one connection. Its methods are for the goroutine
// that reads from the connection, between two reads: nothing else in tls.Conn
// touches these fields after the handshake.
type input struct {
	conn *tls.Conn // nil: nothing to lend to
	lent *[inputSize]byte
}

func inputOf(c *lineConn) input {
	t, ok := c.Conn.(*tls.Conn)
	if !ok || !haveRawInput || !haveHand {
		return input{}
	}
	return input{conn: t}
}

// lend gives the connection a buffer. What it has read already moves there.
func (i *input) lend() {
	if i.conn == nil || i.lent != nil {
		return
	}
	i.lent = inputs.Get().(*[inputSize]byte)
	raw := bufferAt(i.conn, rawInput)
	b := bytes.NewBuffer(i.lent[:0])
	b.Write(raw.Bytes())
	*raw = *b
}

// takeBack gets the buffer back, once the connection has nothing to read. Half
// a record stays where it is until the rest has come.
func (i *input) takeBack() {
	if i.conn == nil {
		return
	}
	raw, hand := bufferAt(i.conn, rawInput), bufferAt(i.conn, handInput)
	if raw.Len() > 0 || hand.Len() > 0 {
		return
	}
	*raw, *hand = bytes.Buffer{}, bytes.Buffer{}
	if i.lent != nil {
		inputs.Put(i.lent)
		i.lent = nil
	}
}
