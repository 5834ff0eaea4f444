//go:build !unix

package main

// readableByOthers cannot tell here: the mode bits say nothing of who can read.
func readableByOthers(string) bool { return false }
