package relay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// relayed is a relay between a client and a provider that the test plays.
type relayed struct {
	*Relay
	client, provider *net.TCPConn // the far ends
	ending           chan Ending
}

func startRelay(t *testing.T, stall time.Duration) *relayed {
	c, ours := tcpPair(t)
	p, theirs := tcpPair(t)
	for _, far := range []*net.TCPConn{c, p} {
		far.SetDeadline(time.Now().Add(patient))
	}
	r := &relayed{client: c, provider: p, ending: make(chan Ending, 1)}
	r.Relay = New(NewConn(NewWire(ours)), NewConn(NewWire(theirs)))
	r.Start(stall, func(e Ending) { r.ending <- e })
	t.Cleanup(func() { r.closeBoth() })
	return r
}

func (r *relayed) ended(t *testing.T, side string, err error) {
	t.Helper()
	select {
	case e := <-r.ending:
		if e.Side != side || !errors.Is(e.Err, err) {
			t.Errorf("ended by the %s: %v; want the %s, %v", e.Side, e.Err, side, err)
		}
	case <-time.After(patient):
		t.Error("the relay did not end")
	}
}

func TestRelayEndsWithTheProvider(t *testing.T) {
	r := startRelay(t, patient)
	last := random(1 << 20) // more than the sockets hold
	go func() {
		r.provider.Write(last)
		r.provider.Close()
	}()
	if got, err := io.ReadAll(r.client); err != nil || !bytes.Equal(got, last) {
		t.Errorf("read %d bytes of %d, %v", len(got), len(last), err)
	}
	r.client.Close()
	r.ended(t, "provider", nil)
	if n := r.down.bytes.Load(); n != int64(len(last)) {
		t.Errorf("counted %d bytes", n)
	}
}

// TestRelayLingersForLastWords: a client that is still sending when the provider
// closes receives the provider's last bytes. Closing at once would reset the
// connection.
func TestRelayLingersForLastWords(t *testing.T) {
	r := startRelay(t, patient)
	io.WriteString(r.provider, "* BYE\r\n")
	r.provider.Close()
	chatter := make(chan struct{})
	go func() {
		defer close(chatter)
		for range 100 {
			if _, err := io.WriteString(r.client, strings.Repeat("a NOOP\r\n", 1000)); err != nil {
				t.Errorf("the client was reset: %v", err)
				return
			}
		}
	}()
	<-chatter
	if got, err := io.ReadAll(r.client); string(got) != "* BYE\r\n" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	r.client.Close()
	<-r.ending // by whom depends on whether the provider's reset came first
}

func TestRelayHalfCloses(t *testing.T) {
	r := startRelay(t, patient)
	io.WriteString(r.client, "a FETCH\r\n")
	r.client.CloseWrite()
	if got, err := io.ReadAll(r.provider); string(got) != "a FETCH\r\n" || err != nil {
		t.Fatalf("the provider read %q, %v", got, err)
	}
	answer := random(1 << 20)
	go func() {
		r.provider.Write(answer)
		r.provider.Close()
	}()
	if got, err := io.ReadAll(r.client); !bytes.Equal(got, answer) || err != nil {
		t.Errorf("the client read %d bytes of %d, %v", len(got), len(answer), err)
	}
	r.ended(t, "provider", nil)
}

func TestRelayEndsWhenTheClientVanishes(t *testing.T) {
	r := startRelay(t, patient)
	r.client.SetLinger(0) // Close resets
	r.client.Close()
	if _, err := io.ReadAll(r.provider); err != nil {
		t.Errorf("the provider was reset too: %v", err)
	}
	select {
	case e := <-r.ending:
		if e.Side != "client" || e.Err == nil {
			t.Errorf("ended by the %s: %v", e.Side, e.Err)
		}
	case <-time.After(patient):
		t.Error("the relay did not end")
	}
}

func TestRelayGivesUpOnAStalledClient(t *testing.T) {
	r := startRelay(t, 50*time.Millisecond)
	go io.Copy(r.provider, zeros{})
	r.ended(t, "client", os.ErrDeadlineExceeded)
}

func TestRelayGivesUpOnAStalledProvider(t *testing.T) {
	r := startRelay(t, 50*time.Millisecond)
	go io.Copy(r.client, zeros{})
	r.ended(t, "provider", os.ErrDeadlineExceeded)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestRelaySurvivesABug(t *testing.T) {
	c, ours := tcpPair(t)
	_, theirs := tcpPair(t)
	r := New(NewConn(NewWire(ours)), NewConn(NewWire(theirs)))
	ended := make(chan Ending, 1)
	client := r.client
	client.Conn = explosive{client.Conn}
	r.Start(patient, func(e Ending) { ended <- e })
	io.WriteString(c, "boom")
	e := <-ended
	if e.Side != "authferry" || !strings.Contains(fmt.Sprint(e.Err), "a bug in authferry") || strings.Contains(fmt.Sprint(e.Err), "letter") {
		t.Errorf("ended by %s: %v", e.Side, e.Err)
	}
}

type explosive struct{ net.Conn }

func (e explosive) Read(p []byte) (int, error) {
	if n, err := e.Conn.Read(p); n == 0 {
		return n, err
	}
	panic("a letter, which is private")
}

func TestQuiet(t *testing.T) {
	for _, tt := range []struct {
		up, down string
		ago      time.Duration
		want     bool
	}{
		{"", "", QuietAfter, true},
		{"a IDLE\r\n", "+ idling\r\n", QuietAfter, true},
		{"a IDLE\n", "+ idling\r\n", QuietAfter, true},
		{"a IDLE\r\n", "+ idling\r\n", QuietAfter / 2, false},
		{"a APPEND x {10}\r\n123", "+ go\r\n", QuietAfter, false},
		{"a FETCH 1 BODY[]\r\n", "* 1 FETCH (BODY[] {10}\r\n123", QuietAfter, false},
		{"a FETCH 1 BODY[]\r\n", "* 1 FETCH (BODY[] {10}\n", QuietAfter, false},
	} {
		r := startRelay(t, patient)
		io.WriteString(r.client, tt.up)
		io.WriteString(r.provider, tt.down)
		io.ReadFull(r.provider, make([]byte, len(tt.up)))
		io.ReadFull(r.client, make([]byte, len(tt.down)))
		r.toClient.Lock() // pass notes the time after it has written
		moved := time.Unix(0, r.moved.Load())
		r.toClient.Unlock()
		if got := r.quiet(moved.Add(tt.ago)); got != tt.want {
			t.Errorf("%q, %q, %v ago: quiet %v", tt.up, tt.down, tt.ago, got)
		}
	}
}

// TestPlainSessionsCostNothing: without a filter, no bytes cost an allocation.
func TestPlainSessionsCostNothing(t *testing.T) {
	c, ours := tcpPair(t)
	_, theirs := tcpPair(t)
	defer c.Close()
	r := New(NewConn(NewWire(ours)), NewConn(NewWire(theirs)))
	defer r.closeBoth()
	r.provider.Conn = discard{}
	b := make([]byte, tlsRecord)
	if n := testing.AllocsPerRun(100, func() { r.up.pass(b) }); n != 0 {
		t.Errorf("%v allocations to pass bytes on", n)
	}
}

type discard struct{ net.Conn }

func (discard) Write(b []byte) (int, error) { return len(b), nil }
