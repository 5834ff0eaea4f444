//go:build !unix

package relay

import (
	"net"
	"time"
)

// socket is not available: sockets of this system cannot be read without waiting.
type socket struct{ prompt bool }

func newSocket(net.Conn) *socket { return nil }

func (*socket) read(p, q []byte) (int, error)                      { panic("no socket") }
func (*socket) wait() error                                        { panic("no socket") }
func (*socket) write(net.Conn, []byte, time.Duration) (int, error) { panic("no socket") }
