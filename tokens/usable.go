package tokens

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"authferry/internal/atomicfile"
)

// Usable tells whether the store can be read and written now: a token that is
// refreshed has to be written down, or it may be lost.
func (v *Vault) Usable(ctx context.Context) error {
	if _, err := v.store.Mailboxes(ctx); err != nil {
		return err
	}
	if s, ok := v.store.(interface{ writable() error }); ok {
		return s.writable()
	}
	return nil
}

// trialSize is about what a mailbox takes: a full disk may still have room for
// the name of a file.
const trialSize = 4 << 10

// writable writes a file as [atomicfile.Write] would and removes it. It leaves out
// waiting for the disk, since it may be asked every few seconds. One name serves
// for all, so that what a crash left behind does not heap up.
func (s *FileStore) writable() error {
	path := filepath.Join(s.dir, ".trial")
	err := writeTrial(path)
	// Another process may be at it too.
	if removing := os.Remove(path); err == nil && !errors.Is(removing, fs.ErrNotExist) {
		err = removing
	}
	if err != nil {
		return fmt.Errorf("the store cannot be written to: %w", err)
	}
	return nil
}

func writeTrial(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := atomicfile.Disk.Write(f, make([]byte, trialSize)); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
