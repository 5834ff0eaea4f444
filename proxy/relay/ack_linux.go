package relay

import "syscall"

// acknowledge has the kernel acknowledge what has come at once. A relay answers
// nothing by itself, so the kernel would hold the acknowledgement back for 40 ms
// in the hope of an answer to send it with, while a client that writes a command
// in two pieces (Python's imaplib: an APPEND's literal, then its line end) holds
// back the second until the first is acknowledged (Nagle's algorithm). The
// option lasts until the kernel changes its mind: tcp(7). An error means that
// the connection is gone, which the next read says better.
func acknowledge(fd int) {
	syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
}
