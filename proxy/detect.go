package proxy

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"authferry/proxy/relay"
)

// Telling what a client speaks from the first bytes it sends.

var (
	errLateHello = errors.New("a TLS handshake that came after the greeting: give slow programs more time by hello " +
		"under [limits], or a listener of imaps, pop3s or smtps")
	// errStranger: what connected is no mail program, or not one of this protocol.
	errStranger = errors.New("not a mail program for this port")
)

// tlsFirst tells whether TLS comes before the greeting. On a listener that takes
// both kinds the client decides: one that starts with TLS speaks at once, one
// without waits for the greeting. So silence means plain text, and how long it
// must last is a trade: programs without TLS wait so much longer for each
// greeting, programs with TLS that take longer to begin are lost (a device that
// computes for half a second, a first packet that has to be sent again).
func (s *session) tlsFirst() (bool, error) {
	if s.Security != Either {
		return s.Security == Implicit, nil
	}
	s.doing = "waiting for either TLS or silence"
	hello, err := beginsTLS(s.client.Wire, s.Limits.Hello)
	if errors.Is(err, io.EOF) {
		err = errClientLeft
	}
	return hello, err
}

// beginsTLS waits for the first byte, which stays to be read, and tells whether
// it is that of a TLS record with a handshake, or of the SSL 2 form of one. No
// command of the three protocols begins with either.
func beginsTLS(w *relay.Wire, wait time.Duration) (bool, error) {
	if err := w.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return false, err
	}
	var first [1]byte
	n, err := w.Read(first[:])
	w.Unread(first[:n])
	switch {
	case n == 1:
		return first[0] == 0x16 || first[0]&0x80 != 0, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return false, nil
	}
	return false, err
}

// foreign are first words of what is no mail program, and what they mean.
var foreign = []struct{ start, what string }{
	{"GET /", httpRequest}, {"POST /", httpRequest}, {"HEAD /", httpRequest}, {"PUT /", httpRequest},
	{"OPTIONS /", httpRequest}, {"OPTIONS *", httpRequest}, {"CONNECT ", httpRequest}, {"PRI * HTTP", httpRequest},
	{"SSH-", "an SSH client: it is set to the wrong port"},
	{"PROXY ", proxyHeader}, {proxySignature, proxyHeader},
}

const (
	httpRequest = "an HTTP request: a browser, a monitor or a web application is set to a mail port"
	proxyHeader = "a PROXY header from an address that may not send one: if it is your load balancer, " +
		"add its network to proxy_protocol of the [[listener]]; if not, somebody pretends to be one"
	smtpClient = "an SMTP client: it is set to the wrong port, or speaks to the wrong listener"
)

// stranger recognises in the first line of a client, or in its first five
// bytes, what is no mail program.
func (s *session) stranger(line string) error {
	if line == "" { // as a binary PROXY header begins
		line = "\r\n" + string(s.client.Peek(len(proxySignature)))
	}
	if len(line) >= 5 && s.Protocol != "smtp" {
		if verb := strings.ToUpper(line[:5]); verb == "EHLO " || verb == "HELO " {
			return fmt.Errorf("%w: %s", errStranger, smtpClient)
		}
	}
	for _, f := range foreign {
		if n := min(len(line), len(f.start)); n >= 4 && line[:n] == f.start[:n] {
			return fmt.Errorf("%w: %s", errStranger, f.what)
		}
	}
	return nil
}
