//go:build !unix

package tokens

import (
	"os"
	"time"
)

// rename tries for a second: Windows refuses to replace a file while somebody,
// a login or a virus scanner, has it open.
func rename(from, to string) (err error) {
	for range 100 {
		if err = os.Rename(from, to); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// checkKeyMode has nothing to go by: access is not in a file's mode here.
func checkKeyMode(string) error { return nil }

// syncDir has nothing to do: directories cannot be synced here, and renames
// are journalled.
func syncDir(string) error { return nil }
