package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// The PROXY protocol, with which load balancers say whom they bring:
// https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt. It is read here
// and not by a library because nothing may be read beyond it: what follows is
// the client's, TLS included, and belongs to a wire that must stay a socket.

const (
	// proxySignature begins the binary form, version 2.
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	// maxProxyLine bounds the text form, version 1: §2.1, line end included.
	maxProxyLine = 107
	// proxyHeaderTime is how long a balancer has for its header, which is the
	// first thing it sends. §2.2 wants at least 3 s, for a packet lost.
	proxyHeaderTime = 5 * time.Second
)

// introduction is what a balancer says of a connection.
type introduction struct {
	client netip.AddrPort // not valid: it does not know, or speaks for itself
	local  bool           // the balancer's own connection: a health check
}

var errProxyHeader = errors.New("no good PROXY header from an address in proxy_protocol of the [[listener]]: " +
	"let the load balancer send one (HAProxy: send-proxy-v2; nginx: proxy_protocol on), or take its network out there")

// introduce reads the header of a connection that a load balancer brings, and
// asks the gate about the client it names.
func (s *session) introduce() error {
	if !s.balanced {
		return nil
	}
	s.doing = "reading the PROXY header"
	w := s.client.Wire
	if err := w.SetReadDeadline(time.Now().Add(proxyHeaderTime)); err != nil {
		return err
	}
	in, err := readProxyHeader(w)
	switch {
	case errors.Is(err, io.EOF) && !w.Heard():
		return errClientLeft // a health check that only looks whether somebody listens
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: it did not come in time", errProxyHeader)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the load balancer closed in the middle of its PROXY header: %w", err)
	case err != nil:
		return err
	}
	w.ResetHeard() // nothing of the client's
	admit := s.letIn
	if in.local {
		admit = s.Gate.AdmitBalancer
	}
	if in.client.IsValid() {
		s.peer = in.client
	}
	seat, err := admit(s.peer.Addr(), s.crowdOut)
	if err != nil {
		s.Metrics.turned.Add(1)
		s.turnedAway(s.peer, err)
		s.sayNo(w, refusalFor(err).words)
		return err
	}
	s.seat = seat
	return nil
}

// readProxyHeader reads a header of either version, and not a byte more.
func readProxyHeader(r io.Reader) (introduction, error) {
	// The shortest header, "PROXY UNKNOWN\r\n", is longer than the signature.
	head := make([]byte, 0, maxProxyLine)
	for len(head) < len(proxySignature) {
		n, err := r.Read(head[len(head):len(proxySignature)])
		head = head[:len(head)+n]
		if !begins(proxySignature, head) && !begins("PROXY ", head) {
			return introduction{}, fmt.Errorf("%w: it begins %q", errProxyHeader, head[:min(len(head), 5)]) // a password may follow
		}
		if err != nil && len(head) < len(proxySignature) {
			return introduction{}, err
		}
	}
	if string(head) == proxySignature {
		return readBinaryHeader(r)
	}
	for !bytes.HasSuffix(head, []byte("\n")) {
		if len(head) == maxProxyLine {
			return introduction{}, fmt.Errorf("%w: its line has no end", errProxyHeader)
		}
		if _, err := io.ReadFull(r, head[len(head):len(head)+1]); err != nil {
			return introduction{}, err
		}
		head = head[:len(head)+1]
	}
	return parseProxyLine(string(head))
}

// begins tells whether two texts agree as far as both go.
func begins(text string, b []byte) bool {
	n := min(len(text), len(b))
	return text[:n] == string(b[:n])
}

// parseProxyLine reads version 1: PROXY TCP4 192.0.2.1 198.51.100.1 56324 993.
func parseProxyLine(line string) (introduction, error) {
	text, ok := strings.CutSuffix(line, "\r\n")
	words := strings.Split(text, " ")
	if ok && len(words) > 1 && words[0] == "PROXY" && words[1] == "UNKNOWN" {
		return introduction{}, nil // whatever follows is to be ignored
	}
	if ok && len(words) == 6 && words[0] == "PROXY" && (words[1] == "TCP4" || words[1] == "TCP6") {
		client, err := netip.ParseAddr(words[2])
		port, portErr := strconv.ParseUint(words[4], 10, 16)
		if err == nil && portErr == nil && client.Zone() == "" && client.Is4() == (words[1] == "TCP4") {
			return introduction{client: netip.AddrPortFrom(client.Unmap(), uint16(port))}, nil
		}
	}
	return introduction{}, fmt.Errorf("%w: it is %q", errProxyHeader, quotable(line))
}

// readBinaryHeader reads version 2, behind its signature: §2.2.
func readBinaryHeader(r io.Reader) (in introduction, err error) {
	var fixed [4]byte // version and command, family and transport, length of the rest
	if _, err := io.ReadFull(r, fixed[:]); err != nil {
		return in, err
	}
	size := int(binary.BigEndian.Uint16(fixed[2:]))
	version, command, family := fixed[0]>>4, fixed[0]&0xf, fixed[1]
	if version != 2 || command > 1 {
		return in, fmt.Errorf("%w: version and command %#x", errProxyHeader, fixed[0])
	}
	var address [36]byte // both addresses, then both ports
	n := map[byte]int{0x11: 12, 0x21: 36}[family]
	if n > size {
		return in, fmt.Errorf("%w: %d bytes are too few for its addresses", errProxyHeader, size)
	}
	if _, err := io.ReadFull(r, address[:n]); err != nil {
		return in, err
	}
	// What else a balancer has to tell: TLS of its own, connection names.
	if _, err := io.CopyN(io.Discard, r, int64(size-n)); err != nil {
		return in, err
	}
	switch {
	case command == 0:
		in.local = true // and its addresses, if any, mean nothing
	case family == 0x11:
		in.client = netip.AddrPortFrom(netip.AddrFrom4([4]byte(address[:4])), binary.BigEndian.Uint16(address[8:]))
	case family == 0x21:
		in.client = netip.AddrPortFrom(netip.AddrFrom16([16]byte(address[:16])).Unmap(), binary.BigEndian.Uint16(address[32:]))
	}
	return in, nil
}
