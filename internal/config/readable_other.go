//go:build !unix

package config

// readableByOthers returns false: mode bits do not say here who can read.
func readableByOthers(string) bool { return false }
