//go:build !unix

package logging

import "os"

// identity is not known: there is no journal here.
func identity(*os.File) (device, inode uint64, ok bool) { return 0, 0, false }
