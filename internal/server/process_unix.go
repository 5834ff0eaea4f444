//go:build unix

package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ActAsOwner switches a command that root runs to the user who owns the store.
// The server could not read files that root created in it, and a link that the
// server's user put there must not make root write elsewhere.
//
// It returns the directory to use from then on. The owner may not be able to
// walk to it: a service with DynamicUser= keeps its state below /var/lib/private,
// which only root may enter. So the process goes there first, and stays.
func ActAsOwner(store string) (string, error) {
	info, err := os.Stat(store)
	if os.Geteuid() != 0 || errors.Is(err, fs.ErrNotExist) {
		return store, nil
	}
	if err != nil {
		return "", err
	}
	owner := info.Sys().(*syscall.Stat_t)
	if owner.Uid == 0 {
		return store, nil
	}
	if err := os.Chdir(store); err != nil {
		return "", err
	}
	for _, err := range []error{
		syscall.Setgroups([]int{int(owner.Gid)}),
		syscall.Setgid(int(owner.Gid)),
		syscall.Setuid(int(owner.Uid)),
	} {
		if err != nil {
			return "", fmt.Errorf("acting as the owner of the store %s: %w", store, err)
		}
	}
	return ".", nil
}

// DescriptorLimit returns how many files and connections this process may have
// open, 0 if unknown. Go has raised the soft limit already: its default of 1024 is
// for programs that use select(2).
func DescriptorLimit() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	const most = 1 << 30 // RLIM_INFINITY, and more than the gate accepts
	return int(min(uint64(limit.Cur), most))
}
