//go:build unix

package config

import "os"

// readableByOthers reports whether any user of the machine can read a file.
func readableByOthers(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().Perm()&0o004 != 0
}
