//go:build !unix

package main

// actAsOwner has nobody else to act as here.
func actAsOwner(string) error { return nil }
