package proxy

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"authferry/internal/protocol"
)

// TestBytesAreExact sends random bytes in random chunks both ways at once
// through whole sessions, some of them with the login.
func TestBytesAreExact(t *testing.T) {
	for _, protocol := range protocol.All {
		for name, security := range everySecurity {
			for _, startTLS := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/provider starttls %v", protocol, name, startTLS), func(t *testing.T) {
					t.Parallel()
					up, down := random(1<<20), random(1<<20)
					early, behind := rand.IntN(3000), rand.IntN(3000)
					arrived := make(chan [32]byte, 1)
					p := startProvider(t, &fakeProvider{protocol: protocol, startTLS: startTLS, behind: string(down[:behind]),
						after: func(c net.Conn, r *bufio.Reader) {
							sent := make(chan struct{})
							go func() { defer close(sent); inChunks(c, down[behind:]) }()
							arrived <- hash(io.LimitReader(r, int64(len(up))))
							<-sent
						}})
					m := startWhole(t, p, security).login(string(up[:early]))
					m.SetDeadline(time.Now().Add(patient))
					go inChunks(m, up[early:])
					if hash(io.LimitReader(m, int64(len(down)))) != sha256.Sum256(down) {
						t.Error("what the provider sent arrived changed")
					}
					if <-arrived != sha256.Sum256(up) {
						t.Error("what the client sent arrived changed")
					}
				})
			}
		}
	}
}

// TestStalledClientHoldsBackTheProvider: what a client does not read stays with
// the provider, and other sessions do not notice.
func TestStalledClientHoldsBackTheProvider(t *testing.T) {
	blocked := make(chan int, 1)
	p := startProvider(t, &fakeProvider{protocol: "imap", after: func(c net.Conn, r *bufio.Reader) {
		switch line, _ := r.ReadString('\n'); line {
		case "flood\r\n":
			sent, chunk := 0, make([]byte, 64<<10)
			for {
				c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
				n, err := c.Write(chunk)
				sent += n
				if err != nil {
					blocked <- sent
					return
				}
			}
		default:
			io.Copy(c, r)
		}
	}})
	w := startWhole(t, p, Implicit)
	stalled, other := w.login(""), w.login("")
	io.WriteString(other, "hello\r\n")
	io.WriteString(stalled, "flood\r\n")
	sent := <-blocked
	if sent > 64<<20 {
		t.Errorf("took %d MB for a client that reads nothing", sent>>20)
	}
	for range 100 {
		io.WriteString(other, "again\r\n")
		if line, err := other.r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "again") {
			t.Fatalf("the other session read %q, %v", line, err)
		}
	}
}

func inChunks(w io.Writer, b []byte) {
	for len(b) > 0 {
		n := min(len(b), 1+rand.IntN(1<<rand.IntN(17)))
		if _, err := w.Write(b[:n]); err != nil {
			return
		}
		b = b[n:]
	}
}

func hash(r io.Reader) (sum [32]byte) {
	h := sha256.New()
	io.Copy(h, r)
	return [32]byte(h.Sum(nil))
}
