//go:build !unix

package config

// readableByOthers cannot tell here: the mode bits say nothing of who can read.
func readableByOthers(string) bool { return false }
