//go:build unix

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// actAsOwner makes a command that root runs act as the user whose store it is:
// what root wrote into it, the server could not read.
func actAsOwner(store string) error {
	info, err := os.Stat(store)
	if os.Geteuid() != 0 || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	if owner.Uid == 0 {
		return nil
	}
	for _, err := range []error{
		syscall.Setgroups([]int{int(owner.Gid)}),
		syscall.Setgid(int(owner.Gid)),
		syscall.Setuid(int(owner.Uid)),
	} {
		if err != nil {
			return fmt.Errorf("acting as the owner of the store %s: %w", store, err)
		}
	}
	return nil
}
