//go:build unix

package check

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const hasModes = true

// ownerOf is the user a file belongs to.
func ownerOf(path string) (uint32, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	return info.Sys().(*syscall.Stat_t).Uid, nil
}

// writable asks without writing: a server may be at work there.
func writable(dir string) error {
	return unix.Access(dir, unix.W_OK|unix.X_OK)
}
