//go:build unix

package check

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const hasModes = true

// ownerOf returns the user that owns a file.
func ownerOf(path string) (uint32, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	return info.Sys().(*syscall.Stat_t).Uid, nil
}

// writable checks without writing: a server may be running.
func writable(dir string) error {
	return unix.Access(dir, unix.W_OK|unix.X_OK)
}
