package server

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// KeepWithinMemory sets the memory limit of the garbage collector to that of
// the container or service: Go reads the limit for processors, but not the one
// for memory. A tenth is left for memory outside the heap. GOMEMLIMIT takes
// precedence.
func KeepWithinMemory() {
	if _, given := os.LookupEnv("GOMEMLIMIT"); given {
		return
	}
	if limit := memoryLimit("/"); limit > 0 {
		debug.SetMemoryLimit(limit / 10 * 9)
	}
}

// memoryLimit returns the least memory.max of the cgroup of this process and
// those above it, 0 if there is none: cgroups(7), and memory.limit_in_bytes of
// version 1, where a number near the largest possible means "none". In a
// container, /proc may name a directory that exists outside of it only; the
// container's own cgroup is then the top.
func memoryLimit(root string) (least int64) {
	read := func(path ...string) string {
		content, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
		if err != nil { // another version, or not visible: no limit known
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
