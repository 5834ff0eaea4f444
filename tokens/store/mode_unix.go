//go:build unix

package store

import (
	"fmt"
	"os"
)

// checkKeyMode refuses a key that strangers could read or exchange. A group may
// read it: that is how a service manager may hand it to a service.
func checkKeyMode(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("reading the seal key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o026 != 0 {
		return fmt.Errorf("the seal key %s has mode %04o, so others can read or change it: chmod 600 %s (for a container's secret, set its mode to 0400)", path, mode, path)
	}
	return nil
}
