package tokens

import (
	"fmt"
	"os"
	"path/filepath"
)

// disk is what replaceFile does to the disk: a variable, so that tests can fill
// it up and pull the plug at any step.
var disk = struct {
	write  func(*os.File, []byte) (int, error)
	sync   func(*os.File) error
	rename func(from, to string) error
	dir    func(dir string) error
}{(*os.File).Write, (*os.File).Sync, rename, syncDir}

// tempName is where replaceFile writes: a name of its own for each file, since
// replaceFile is called under a lock, so that what a crash left behind is
// overwritten by the next write and never heaps up.
func tempName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
}

// replaceFile writes a file whole and durably: a reader, and the file after a
// crash, has the old content or the new one. Callers hold a lock for path.
// (Libraries for this leave out syncing the directory, without which the old
// content may come back after a power cut, or do not work on Windows.)
func replaceFile(path string, data []byte) (err error) {
	temp := tempName(path)
	os.Remove(temp) // of a crash; O_EXCL below speaks if it is still there
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(temp)
			err = fmt.Errorf("writing %s: %w", path, err)
		}
	}()
	if _, err := disk.write(f, data); err != nil {
		return err
	}
	if err := disk.sync(f); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := disk.rename(temp, path); err != nil {
		return err
	}
	return disk.dir(filepath.Dir(path))
}
