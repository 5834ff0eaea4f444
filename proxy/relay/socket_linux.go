package relay

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// readBoth reads into p and then q, with one system call.
func readBoth(fd int, p, q []byte) (int, error) {
	if len(q) == 0 {
		return syscall.Read(fd, p)
	}
	return unix.Readv(fd, [][]byte{p, q})
}

// acknowledge makes the kernel acknowledge at once what has arrived. A relay sends
// no answer of its own, so the kernel delays the acknowledgement by 40 ms to send
// it with one. Meanwhile a client that writes a command in two pieces (Python's
// imaplib: an APPEND's literal, then its line end) holds back the second until the
// first is acknowledged (Nagle's algorithm). The option lasts until the kernel
// resets it: tcp(7). An error means that the connection is gone, which the next
// read reports better.
func acknowledge(fd int) {
	syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
}
