//go:build !unix

package tokens

// checkKeyMode has nothing to go by: access is not in a file's mode here.
func checkKeyMode(string) error { return nil }

// syncDir has nothing to do: directories cannot be synced here, and renames
// are journalled.
func syncDir(string) error { return nil }
