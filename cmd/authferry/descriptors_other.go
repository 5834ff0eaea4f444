//go:build !unix

package main

// descriptorLimit is 0: there is none to speak of.
func descriptorLimit() int { return 0 }
