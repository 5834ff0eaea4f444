//go:build !unix

package admin

import "net"

// listenPrivately makes the socket. The directory decides who may open it.
func listenPrivately(path string) (net.Listener, error) { return net.Listen("unix", path) }
