package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"authferry/internal/atomicfile"
)

// A FileStore keeps documents beside the mailboxes, in files of the same kind:
//
//	DIR/documents/users.age   the document
//	DIR/documents/users.lock  held while it is edited

func (s *Files) documents() string { return filepath.Join(filepath.Dir(s.Dir), "documents") }

func (s *Files) documentPath(name, suffix string) string {
	return filepath.Join(s.documents(), name+suffix)
}

// Documents lists the names of documents in alphabetical order.
func (s *Files) Documents(context.Context) ([]string, error) {
	entries, err := os.ReadDir(s.documents())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the documents: %w", err)
	}
	var names []string
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), SealedSuffix)
		if ok && checkDocumentName(name) == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names) // "a-b.age" comes before "a.age"
	return names, nil
}

// Document returns a document as last written, by whichever process.
func (s *Files) Document(_ context.Context, name string) ([]byte, error) {
	if err := checkDocumentName(name); err != nil {
		return nil, err
	}
	f, err := os.Open(s.documentPath(name, SealedSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the document %s: %w", name, err)
	}
	defer f.Close()
	sealed, err := io.ReadAll(io.LimitReader(f, maxSealed))
	if err != nil {
		return nil, fmt.Errorf("reading the document %s: %w", name, err)
	}
	return s.seal.openDocument(name, sealed)
}

// UpdateDocument edits a document under its lock; see [Store].
func (s *Files) UpdateDocument(ctx context.Context, name string, edit func([]byte) ([]byte, error)) error {
	if err := checkDocumentName(name); err != nil {
		return err
	}
	if err := s.makeDocuments(); err != nil {
		return fmt.Errorf("making a place for documents: %w", err)
	}
	unlock, err := s.lockFile(ctx, s.documentPath(name, lockSuffix), "the document "+name)
	if err != nil {
		return err
	}
	defer unlock()
	old, err := s.Document(ctx, name)
	if err != nil {
		return err
	}
	next, changed, err := editDocument(name, old, edit)
	if err != nil || !changed {
		return err
	}
	path := s.documentPath(name, SealedSuffix)
	if next == nil {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("removing the document %s: %w", name, err)
		}
		return atomicfile.SyncDir(s.documents())
	}
	sealed, err := s.seal.closeDocument(name, next)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, sealed, 0o600)
}

// makeDocuments makes the directory, durably: what is written below it is.
func (s *Files) makeDocuments() error {
	err := os.Mkdir(s.documents(), 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(s.documents()))
}
