package relay

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// pair returns two ends of a connection, one of them read by lines.
func pair(t testing.TB) (*Conn, net.Conn) {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return NewConn(NewWire(ours)), theirs
}

// fed returns a connection that says what is given and then ends.
func fed(t testing.TB, said string) *Conn {
	t.Helper()
	c, peer := pair(t)
	go func() {
		io.WriteString(peer, said)
		peer.Close()
	}()
	return c
}

func TestReadLine(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for _, tt := range []struct {
		said  string
		limit int
		want  string
		err   error
	}{
		{"a line\r\n", 100, "a line", nil},
		{"a bare line feed\n", 100, "a bare line feed", nil},
		{"\r\n", 100, "", nil},
		{"a\x00\xff\rb\r\n", 100, "a\x00\xff\rb", nil},
		{long + "\r\n", 10_000, long, nil},
		{long + "\r\n", 9_999, "", ErrLineTooLong},
		{long, 5_000, "", ErrLineTooLong},
		{"12345\r\n", 5, "12345", nil},
		{"123456\n1", 4, "", ErrLineTooLong},
		{"cut", 100, "", io.ErrUnexpectedEOF},
		{"", 100, "", io.EOF},
	} {
		got, err := fed(t, tt.said).ReadLine(tt.limit)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("readLine(%d) of %.20q = %.20q, %v, want %.20q, %v", tt.limit, tt.said, got, err, tt.want, tt.err)
		}
	}
}

func TestUnreadGivesBackWhatWasReadTooMuch(t *testing.T) {
	c := fed(t, "one\r\ntwo\r\nthree")
	if line, err := c.ReadLine(100); line != "one" || err != nil {
		t.Fatal(line, err)
	}
	if got := string(c.Release()); got != "two\r\nthree" {
		t.Errorf("unread = %q", got)
	}
	if got := c.Release(); got != nil {
		t.Errorf("unread again = %q", got)
	}
}

func TestStartsTLS(t *testing.T) {
	for said, want := range map[string]bool{
		"\x16\x03\x01\x02\x00\x01":     true,  // TLS 1.x
		"\x80\x2e\x01\x03\x01":         true,  // SSLv2 hello, up to TLS 1.0
		"\x16abc":                      false, // not a record
		"EHLO x\r\n":                   false,
		"\xd0\xbf\xd1\x80":             false, // Cyrillic text
		"a1 LOGIN x y\r\n":             false,
		"\x80\x81\x82 not a hello\r\n": false,
	} {
		if got, err := fed(t, said).StartsTLS(); got != want || err != nil {
			t.Errorf("startsTLS of %q = %v, %v", said, got, err)
		}
	}
}

func TestCredentialNeedsTLS(t *testing.T) {
	c, peer := pair(t)
	go io.Copy(io.Discard, peer)
	if err := c.SayCredential("AUTH XOAUTH2 ", "dG9rZW4="); err == nil {
		t.Error("a token went out in the clear")
	}
}

func TestStartTLSRefusesEarlyBytes(t *testing.T) {
	for name, start := range map[string]func(*Conn) error{
		"server": func(c *Conn) error { return c.StartTLSServer(&tls.Config{}) },
		"client": func(c *Conn) error { return c.StartTLSClient(&tls.Config{}) },
	} {
		c := fed(t, "STARTTLS\r\ninjected\r\n")
		if _, err := c.ReadLine(100); err != nil {
			t.Fatal(err)
		}
		if err := start(c); !errors.Is(err, ErrEarlyBytes) {
			t.Errorf("%s: %v, want %v", name, err, ErrEarlyBytes)
		}
	}
}

func TestLimitsOfTime(t *testing.T) {
	for name, set := range map[string]func(*Conn){
		"per line": func(c *Conn) { c.idle, c.until = time.Millisecond, time.Now().Add(time.Hour) },
		"in all":   func(c *Conn) { c.idle, c.until = time.Hour, time.Now().Add(time.Millisecond) },
	} {
		c, _ := pair(t)
		set(c)
		if _, err := c.ReadLine(100); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
