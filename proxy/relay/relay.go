// Package relay carries the bytes of a mail session between a client and a
// provider, and needs next to no memory while none are sent.
//
// A connection is a [Wire] (TCP) under a [Conn], which reads and writes lines and
// can start TLS. After the login, [New] joins the client's Conn and the provider's,
// and [Relay.Start] carries bytes both ways until the session ends:
//
//	client := relay.NewConn(relay.NewWire(tcp))
//	line, err := client.ReadLine(limit)
//	...
//	r := relay.New(client, provider)
//	r.Start(stall, finish)
//
// Bytes that a Conn has read beyond the last line are the first that are relayed.
// Without a [Filter] nothing looks at the bytes, and with one, only the filter does.
//
// The package does not dial, accept, authenticate, log or know mail protocols. It
// does not limit how long a session may be silent: IDLE lasts half an hour.
package relay

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
	// halfCloseGrace is how long a provider may stay silent after the client
	// has closed its side, and lingering is how long a client may take to close
	// after the provider has. Closing sooner resets the connection if the client
	// is still sending, and a reset can destroy bytes that it has not received.
	halfCloseGrace = 30 * time.Second
	lingering      = 5 * time.Second

	// QuietAfter is for how long a session that is quiet has sent no bytes.
	QuietAfter = time.Second
)

// Relay carries the bytes of one session.
//
// It ends when the provider ends: in all three protocols the server closes last,
// and a client that closes its side may still wait for an answer.
type Relay struct {
	// Filter restricts the session; nil: it may do everything. First is what the
	// client has sent before the relay begins that is for the provider. Set both
	// before Start.
	Filter Filter
	First  string

	client, provider *Conn
	up, down         direction // from the client, and to it

	toClient   sync.Mutex   // held while writing to the client
	moved      atomic.Int64 // when bytes were last sent, Unix nanoseconds
	halfClosed atomic.Bool  // the client has closed its side
	over       atomic.Bool  // the provider's direction has ended

	once   sync.Once
	end    Ending       // set once
	going  atomic.Int32 // directions that have not ended
	finish func(Ending)
}

// Filter reads the bytes of a session and decides which are carried on.
type Filter interface {
	// FromClient takes bytes from the client, in chunks of any size, and sends
	// those that are allowed to the provider by [Sender].Put.
	FromClient(b []byte) error
	// FromProvider takes bytes from the provider, with the sender locked, and
	// returns the bytes for the client.
	FromProvider(b []byte) ([]byte, error)
	// Close ends every wait: the session is over.
	Close()
}

// Sender writes to both sides of a session for its filter. While it is locked
// nothing else is written to the client.
type Sender interface {
	sync.Locker
	// Put writes to the provider.
	Put(b []byte) error
	// Say writes to the client. Call it with the sender locked, between responses
	// of the provider.
	Say(text string) error
	// End notes which side ended the session ("client", "provider" or
	// "authferry") and why. Only the first call counts.
	End(side string, err error)
	// Abort ends a session that can no longer be kept in sync, and returns why.
	Abort(why error) error
}

var _ Sender = (*Relay)(nil)

// Lock keeps everything else from being written to the client.
func (r *Relay) Lock() { r.toClient.Lock() }

// Unlock undoes Lock.
func (r *Relay) Unlock() { r.toClient.Unlock() }

// Put writes to the provider.
func (r *Relay) Put(b []byte) error { return r.up.put(b) }

// Say writes to the client, with the relay locked.
func (r *Relay) Say(text string) error {
	_, err := io.WriteString(r.client.Conn, text)
	if err != nil {
		r.End("client", err)
	}
	r.moved.Store(time.Now().UnixNano())
	return err
}

// Abort ends a session that can no longer be kept in sync, and returns why.
func (r *Relay) Abort(why error) error {
	r.End("authferry", why)
	closeWrite(r.provider)
	return why
}

// Ending is which side ended a session and why.
type Ending struct {
	Side string // "client", "provider" or "authferry"
	Err  error  // nil: by closing its connection
}

// New returns a relay between two connections.
func New(client, provider *Conn) *Relay {
	r := &Relay{client: client, provider: provider}
	r.up = direction{relay: r, src: client, dst: provider}
	r.down = direction{relay: r, src: provider, dst: client}
	r.moved.Store(time.Now().UnixNano())
	return r
}

// Start begins to carry bytes both ways and returns. When the session has ended
// and both connections are closed, it calls finish. A peer that accepts no bytes
// for as long as stall ends the session.
func (r *Relay) Start(stall time.Duration, finish func(Ending)) {
	r.finish = finish
	r.going.Store(2)
	r.up.early, r.down.early = append([]byte(r.First), r.client.Release()...), r.provider.Release()
	if err := errors.Join(r.client.Wire.flow(stall), r.provider.Wire.flow(stall)); err != nil {
		r.End("authferry", err)
		r.closeBoth()
	}
	r.client.Wire.acknowledgeAtOnce()
	go r.up.flow()
	go r.down.flow()
}

// finished takes the end of a direction: the side that ended it and why, or nil if
// it closed.
func (r *Relay) finished(d *direction, side string, err error) {
	if d == &r.down {
		r.received(side, err)
	} else {
		r.sent(side, err)
	}
	if r.going.Add(-1) == 0 {
		r.client.Close()
		r.finish(r.end)
	}
}

// received is called when the provider has ended or the client accepts no more.
func (r *Relay) received(side string, err error) {
	r.End(side, err)
	r.over.Store(true)
	switch {
	case side == "client":
		r.client.Wire.Close() // without TLS's closing alert, which cannot be written either
	case err != nil:
		r.client.Wire.CloseWrite() // without the closing alert, which would call a truncated stream complete
	default:
		closeWrite(r.client)
	}
	r.client.Wire.SetReadDeadline(time.Now().Add(lingering))
	r.provider.Close()
	if r.Filter != nil {
		r.Filter.Close()
	}
}

// sent is called when the client has closed its side or the provider accepts no
// more.
func (r *Relay) sent(side string, err error) {
	switch {
	case r.over.Load():
		if side == "provider" {
			r.drop()
		}
	case side == "provider" && errors.Is(err, os.ErrDeadlineExceeded):
		r.End(side, err) // it has stopped reading
		r.closeBoth()
	case side == "provider":
		// It accepts no more, but may have said why: carry that to the client.
		r.provider.Wire.SetReadDeadline(time.Now().Add(lingering))
		r.drop()
		r.End(side, err)
	case err != nil:
		r.End(side, err) // reset, or broken TLS: the client cannot be answered
		r.closeBoth()
	default:
		r.halfClosed.Store(true)
		closeWrite(r.provider)
		r.provider.Wire.SetReadDeadline(time.Now().Add(halfCloseGrace))
	}
}

// drop reads and discards what the client still sends, until it closes or its
// read deadline: closing with unread bytes would reset the connection.
func (r *Relay) drop() {
	var b [512]byte
	for {
		_, err := r.client.Conn.Read(b[:])
		if err == errIdle {
			err = r.client.Wire.wait()
		}
		if err != nil {
			return
		}
	}
}

// Sent returns how many bytes have gone to the provider.
func (r *Relay) Sent() int64 { return r.up.bytes.Load() }

// Received returns how many bytes have gone to the client.
func (r *Relay) Received() int64 { return r.down.bytes.Load() }

// LastActive returns when bytes last went either way.
func (r *Relay) LastActive() time.Time { return time.Unix(0, r.moved.Load()) }

// End notes which side ended the session and why. Only the first call counts.
func (r *Relay) End(side string, err error) {
	r.once.Do(func() { r.end = Ending{side, err} })
}

// closeBoth closes both connections at once and sends nothing.
func (r *Relay) closeBoth() {
	r.client.Wire.Close()
	r.provider.Wire.Close()
}

// closeWrite tells a peer that no more bytes come: TLS's closing alert, then TCP's FIN.
func closeWrite(c *Conn) {
	if t, ok := c.Conn.(*tls.Conn); ok {
		t.CloseWrite()
	}
	c.Wire.CloseWrite()
}

// HangUp ends the session from outside. If say is not nil, it tells the client so.
// If that would interrupt a command or a response, HangUp does nothing: call it
// again later, or without say.
func (r *Relay) HangUp(why error, say func(*Conn) error) {
	if say == nil {
		r.End("authferry", why)
		r.closeBoth()
		return
	}
	if !r.toClient.TryLock() {
		return
	}
	defer r.toClient.Unlock()
	if !r.quiet(time.Now()) {
		return
	}
	r.End("authferry", why)
	r.client.SetWriteDeadline(time.Now().Add(time.Second))
	say(r.client)
	r.client.Close()
	r.provider.Close()
}

// quiet reports whether a line to the client would interrupt nothing: neither side has
// sent anything for a while, and the last bytes of each ended a line.
func (r *Relay) quiet(now time.Time) bool {
	return now.Sub(time.Unix(0, r.moved.Load())) >= QuietAfter && r.up.lineEnded() && r.down.lineEnded()
}
