// Package atomicfile replaces a file as a whole and durably: a reader, and the
// file after a crash or a power cut, has the old content or the new content.
//
// The libraries for this lack the fsync of the directory, without which the old
// content may come back after a power cut, or do not work on Windows.
package atomicfile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Disk is every operation of this package on the disk. It is a variable so that
// tests, also those of other packages, can inject faults; nothing else sets it.
var Disk = Operations{(*os.File).Write, (*os.File).Sync, rename, syncDir}

// Operations are the operations on the disk that can fail.
type Operations struct {
	Write   func(*os.File, []byte) (int, error)
	Sync    func(*os.File) error
	Rename  func(from, to string) error
	SyncDir func(dir string) error
}

// privateMode is the mode that temporary files are created with.
const privateMode = 0o600

// TempName is the temporary file that [Write] uses for path. Each path has one
// fixed name, so that the next write overwrites what a crash left behind.
func TempName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
}

// Write replaces the file at path, or creates it. The caller holds a lock for
// path, or is its only writer. After an error from fsync of the directory the
// new content is in place, but may not survive a power cut.
func Write(path string, data []byte, mode fs.FileMode) (err error) {
	temp := TempName(path)
	os.Remove(temp) // left by a crash; O_EXCL below fails if it is still there
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, privateMode)
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
	if _, err := Disk.Write(f, data); err != nil {
		return err
	}
	if mode != privateMode { // not always: file systems without modes refuse it
		if err := f.Chmod(mode); err != nil {
			return err
		}
	}
	if err := Disk.Sync(f); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := Disk.Rename(temp, path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the creation, renaming and removal of files in dir durable.
func SyncDir(dir string) error { return Disk.SyncDir(dir) }
