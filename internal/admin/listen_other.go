//go:build !unix

package admin

import "net"

// listenPrivately makes the socket; who may open it is the directory's affair.
func listenPrivately(path string) (net.Listener, error) { return net.Listen("unix", path) }
