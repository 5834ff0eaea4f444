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
