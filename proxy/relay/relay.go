// Package relay carries one mail connection: by lines before the login, by bytes
// after it, and without a buffer while nothing moves.
//
// [Conn] reads and writes lines; [Relay] joins two of them. A [Filter] may read
// along. The package knows nothing of mail beyond line ends.
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
	// after the provider has. Closing sooner would reset the connection if the
	// client is still sending, and a reset can destroy what is under way to it.
	halfCloseGrace = 30 * time.Second
	lingering      = 5 * time.Second

	// quietAfter is how long nothing must have moved for a session to be quiet.
	QuietAfter = time.Second
)

// relaying is one session's bytes on their way, knowing nothing of mail.
//
// It ends when the provider ends. In all three protocols the server closes
// last; a client that closes its side may still wait for an answer.
type Relay struct {
	client, provider *Conn
	up, down         direction // from the client, and to it
	Filter           Filter    // nil: the password may do everything
	First            string    // what the client has said already that is for the provider

	toClient   sync.Mutex   // held while writing to the client
	moved      atomic.Int64 // when bytes last moved, Unix nanoseconds
	halfClosed atomic.Bool  // the client has closed its side
	over       atomic.Bool  // the provider has ended, one way or another

	once   sync.Once
	end    Ending       // set once
	going  atomic.Int32 // directions that have not ended
	finish func(Ending)
}

// Filter reads along in a session whose password may do less than its mailbox
// could. Other sessions have none, and their bytes are never looked at.
type Filter interface {
	// FromClient takes what the client sends, whatever the chunks, and passes on
	// what it lets through by way of its [Sender].
	FromClient(b []byte) error
	// FromProvider takes what the provider sends, with the sender locked, and
	// returns what the client gets.
	FromProvider(b []byte) ([]byte, error)
	// Close ends every wait: the session is over.
	Close()
}

// Sender is how a filter speaks to both sides of its session. While it is locked
// nothing else is written to the client.
type Sender interface {
	sync.Locker
	// Put writes to the provider.
	Put(b []byte) error
	// Say writes to the client. The sender is locked, and no response of the
	// provider is under way.
	Say(text string) error
	// End notes the first reason for the end of the session: which side ended it
	// ("client", "provider" or "authferry") and why.
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

// ending says which side ended a session and why.
type Ending struct {
	Side string // "client", "provider" or "authferry"
	Err  error  // nil: properly
}

func New(client, provider *Conn) *Relay {
	r := &Relay{client: client, provider: provider}
	r.up = direction{Relay: r, src: client, dst: provider}
	r.down = direction{Relay: r, src: provider, dst: client}
	r.moved.Store(time.Now().UnixNano())
	return r
}

// start carries bytes both ways until the session ends, closes both
// connections, and then calls finish.
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

// finished tells what has become of a direction: the side that ended it,
// and why, or nil for a proper end.
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

// received is called when the provider has ended or the client takes no more.
func (r *Relay) received(side string, err error) {
	r.End(side, err)
	r.over.Store(true)
	switch {
	case side == "client":
		r.client.Wire.Close() // no closing alert: it could not be written either
	case err != nil:
		r.client.Wire.CloseWrite() // nor may TLS vouch for a stream that was cut
	default:
		closeWrite(r.client)
	}
	r.client.Wire.SetReadDeadline(time.Now().Add(lingering))
	r.provider.Close()
	if r.Filter != nil {
		r.Filter.Close()
	}
}

// sent is called when the client has closed its side or the provider takes no
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
		// It takes no more, but may have said why: that is still passed on.
		r.provider.Wire.SetReadDeadline(time.Now().Add(lingering))
		r.drop()
		r.End(side, err)
	case err != nil:
		r.End(side, err) // reset, or broken TLS: nobody is there to be answered
		r.closeBoth()
	default:
		r.halfClosed.Store(true)
		closeWrite(r.provider)
		r.provider.Wire.SetReadDeadline(time.Now().Add(halfCloseGrace))
	}
}

// drop reads what the client still sends and forgets it, until it closes or its
// read deadline: closing over unread bytes would reset the connection.
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

// End notes the first reason for the end of a session.
func (r *Relay) End(side string, err error) {
	r.once.Do(func() { r.end = Ending{side, err} })
}

// closeBoth closes both connections at once, without another word.
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

// hangUp ends the session from outside. say, if not nil, gets to tell the
// client, provided that it would not break into anything.
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

// quiet tells whether a line from us would interrupt nothing: neither side has
// sent anything for a while, and what each sent last ended a line.
func (r *Relay) quiet(now time.Time) bool {
	return now.Sub(time.Unix(0, r.moved.Load())) >= QuietAfter && r.up.lineEnded() && r.down.lineEnded()
}
