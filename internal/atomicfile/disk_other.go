//go:build !unix

package atomicfile

import (
	"os"
	"time"
)

// rename retries for a second: Windows refuses to replace a file while another
// program, such as a virus scanner, has it open.
func rename(from, to string) (err error) {
	for range 100 {
		if err = os.Rename(from, to); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// syncDir does nothing: Windows cannot sync a directory, and journals renames.
func syncDir(string) error { return nil }
