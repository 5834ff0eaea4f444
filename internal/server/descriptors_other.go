//go:build !unix

package server

// descriptorLimit is 0: there is none to speak of.
func DescriptorLimit() int { return 0 }
