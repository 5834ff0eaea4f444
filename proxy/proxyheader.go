package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"authferry/proxy/upstream"
)

// The PROXY protocol, with which load balancers name the client:
// https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt. Not a byte beyond
// the header may be read: the client's bytes follow, TLS included, on a wire that
// must stay a socket. docs/dependencies.md says why no library reads it.

const (
	// proxySignature begins the binary form, version 2.
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	// maxProxyLine bounds the text form, version 1: §2.1, line end included.
	maxProxyLine = 107
	// proxyHeaderTime is how long a balancer has to send its header, the first
	// thing it sends. §2.2 asks for at least 3 s, for a lost packet.
	proxyHeaderTime = 5 * time.Second
)

// proxyHeader is what a load balancer says about a connection.
type proxyHeader struct {
	client netip.AddrPort // not valid: the balancer does not know, or local
	local  bool           // the balancer's own connection: a health check
}

var errProxyHeader = errors.New("no valid PROXY header from an address in proxy_protocol of the [[listener]]: " +
	"let the load balancer send one (HAProxy: send-proxy-v2; nginx: proxy_protocol on), or take its network out there")

// parseProxyHeader reads a header of either version, and not a byte more.
func parseProxyHeader(r io.Reader) (proxyHeader, error) {
	// The shortest header, "PROXY UNKNOWN\r\n", is longer than the signature.
	head := make([]byte, 0, maxProxyLine)
	for len(head) < len(proxySignature) {
		n, err := r.Read(head[len(head):len(proxySignature)])
		head = head[:len(head)+n]
		if !begins(proxySignature, head) && !begins("PROXY ", head) {
			return proxyHeader{}, fmt.Errorf("%w: it begins %q", errProxyHeader, head[:min(len(head), 5)]) // a password may follow
		}
		if err != nil && len(head) < len(proxySignature) {
			return proxyHeader{}, err
		}
	}
	if string(head) == proxySignature {
		return readBinaryHeader(r)
	}
	for !bytes.HasSuffix(head, []byte("\n")) {
		if len(head) == maxProxyLine {
			return proxyHeader{}, fmt.Errorf("%w: its line has no end", errProxyHeader)
		}
		if _, err := io.ReadFull(r, head[len(head):len(head)+1]); err != nil {
			return proxyHeader{}, err
		}
		head = head[:len(head)+1]
	}
	return parseProxyLine(string(head))
}

// begins reports whether one of two texts begins with the other.
func begins(text string, b []byte) bool {
	n := min(len(text), len(b))
	return text[:n] == string(b[:n])
}

// parseProxyLine reads version 1: PROXY TCP4 192.0.2.1 198.51.100.1 56324 993.
func parseProxyLine(line string) (proxyHeader, error) {
	text, ok := strings.CutSuffix(line, "\r\n")
	words := strings.Split(text, " ")
	if ok && len(words) > 1 && words[0] == "PROXY" && words[1] == "UNKNOWN" {
		return proxyHeader{}, nil // the rest of the line is to be ignored
	}
	if ok && len(words) == 6 && words[0] == "PROXY" && (words[1] == "TCP4" || words[1] == "TCP6") {
		client, err := netip.ParseAddr(words[2])
		port, portErr := strconv.ParseUint(words[4], 10, 16)
		if err == nil && portErr == nil && client.Zone() == "" && client.Is4() == (words[1] == "TCP4") {
			return proxyHeader{client: netip.AddrPortFrom(client.Unmap(), uint16(port))}, nil
		}
	}
	return proxyHeader{}, fmt.Errorf("%w: it is %q", errProxyHeader, upstream.Quotable(line))
}

// readBinaryHeader reads version 2, behind its signature: §2.2.
func readBinaryHeader(r io.Reader) (in proxyHeader, err error) {
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
	// Other information of the balancer: its own TLS, connection names.
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
