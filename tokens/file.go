package tokens

import "context"

// FileStore keeps each account in a sealed file of its own.
type FileStore struct{}

// OpenFileStore opens or creates a store in a directory.
func OpenFileStore(dir string, seal *Seal) (*FileStore, error) { panic("unwritten") }

func (s *FileStore) Mailboxes(ctx context.Context) ([]string, error) { panic("unwritten") }
func (s *FileStore) Get(ctx context.Context, mailbox string) (*Account, error) {
	panic("unwritten")
}
func (s *FileStore) Update(ctx context.Context, mailbox string, edit func(*Account) error) error {
	panic("unwritten")
}
func (s *FileStore) Delete(ctx context.Context, mailbox string) error { panic("unwritten") }

var _ Store = (*FileStore)(nil)
