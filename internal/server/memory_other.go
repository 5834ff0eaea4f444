//go:build !linux

package server

// KeepWithinMemory does nothing: containers have limits on Linux only.
func KeepWithinMemory() {}
