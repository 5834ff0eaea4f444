package proxy

import (
	"bufio"
	"crypto/tls"
	"net"
)

// lineConn is a connection read by lines before login and by bytes after it,
// losing nothing between.
type lineConn struct {
	net.Conn // the wire, or TLS over it
	wire     *wire
	r        *bufio.Reader // nil once bytes flow
}

func newLineConn(w *wire) *lineConn { panic("unwritten") }

// startTLSServer and startTLSClient put TLS on top of the wire. They refuse if
// anything is buffered: it came ahead of the handshake, in the clear, and
// would be taken for what came under TLS.
func (c *lineConn) startTLSServer(cfg *tls.Config) error { panic("unwritten") }
func (c *lineConn) startTLSClient(cfg *tls.Config) error { panic("unwritten") }

// unread returns what has been read beyond the last line and frees the buffer;
// from then on the connection is for relay alone.
func (c *lineConn) unread() []byte { panic("unwritten") }
