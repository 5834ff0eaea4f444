//go:build !unix

package check

// Here a file's mode and owner do not describe access to it.
const hasModes = false

func ownerOf(string) (uint32, error) { return 0, nil }
func writable(string) error          { return nil }
