package server

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// keepWithinMemory has the garbage collector know of the memory that a container
// or a service may use: Go asks for its processors, but not for that. A tenth is
// left for what is not on its heap. GOMEMLIMIT, as always, wins.
func KeepWithinMemory() {
	if _, given := os.LookupEnv("GOMEMLIMIT"); given {
		return
	}
	if limit := memoryLimit("/"); limit > 0 {
		debug.SetMemoryLimit(limit / 10 * 9)
	}
}

// memoryLimit is the least memory.max of the cgroup of this process and those
// above it, 0 if there is none: cgroups(7), and memory.limit_in_bytes of version
// 1, whose "none" is a number near the largest there is. In a container /proc
// may name a place that is only there outside of it, and its own is the top.
func memoryLimit(root string) (least int64) {
	read := func(path ...string) string {
		content, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
		if err != nil { // not this version, or not to be seen: no limit known
			return ""
		}
		return strings.TrimSpace(string(content))
	}
	for line := range strings.Lines(read("proc/self/cgroup")) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) != 3 || part[1] != "" && part[1] != "memory" {
			continue
		}
		top, file := "sys/fs/cgroup", "memory.max"
		if part[1] == "memory" {
			top, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		}
		for dir := filepath.Clean("/" + part[2]); ; dir = filepath.Dir(dir) {
			limit, err := strconv.ParseInt(read(top, dir, file), 10, 64)
			if err == nil && limit > 0 && limit < 1<<60 && (least == 0 || limit < least) {
				least = limit
			}
			if dir == "/" {
				break
			}
		}
	}
	return least
}
