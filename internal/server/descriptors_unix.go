//go:build unix

package server

import "golang.org/x/sys/unix"

// descriptorLimit is how many files and connections this process may have open,
// 0 if it cannot be told. Go has raised it as far as it may by now: the soft
// limit of 1024 is for programs that use select(2).
func DescriptorLimit() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	const most = 1 << 30 // RLIM_INFINITY, and more than the gate can be told of
	return int(min(uint64(limit.Cur), most))
}
