//go:build !unix

package server

// ActAsOwner does nothing: there is no other user to act as here.
func ActAsOwner(store string) (string, error) { return store, nil }

// DescriptorLimit returns 0: there is no limit here.
func DescriptorLimit() int { return 0 }
