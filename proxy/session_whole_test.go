package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"testing"
)

var everySecurity = map[string]Security{"plain": Plain, "starttls": StartTLS, "tls": Implicit}

// TestWholeSession logs in over every protocol and arrangement of TLS, with
// bytes sent early on both sides.
func TestWholeSession(t *testing.T) {
	for _, protocol := range protocolNames {
		for name, security := range everySecurity {
			for _, startTLS := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/provider starttls %v", protocol, name, startTLS), func(t *testing.T) {
					const early, behind = "x NOOP\r\n", "behind the reply\r\n"
					p := startProvider(t, &fakeProvider{protocol: protocol, startTLS: startTLS, behind: behind,
						after: func(c net.Conn, r *bufio.Reader) { io.Copy(c, r) }})
					m := startWhole(t, p, security).login(early)
					for _, want := range []string{behind, early} {
						if got, err := m.r.ReadString('\n'); got != want {
							t.Fatalf("read %q, %v; want %q", got, err, want)
						}
					}
				})
			}
		}
	}
}
