package store

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"authferry/internal/printable"
)

const (
	// maxDocument leaves room for the seal within what is read back.
	maxDocument = maxSealed / 2
	// maxDocumentName is in bytes.
	maxDocumentName = 64
)

// checkDocumentName keeps names to what is the same name to every file system
// and every database.
func checkDocumentName(name string) error {
	other := strings.TrimLeft(name, "abcdefghijklmnopqrstuvwxyz0123456789-")
	if name == "" || len(name) > maxDocumentName || other != "" {
		return fmt.Errorf("%s is no name for a document: 1 to %d of a-z, 0-9 and -", printable.Quote(name), maxDocumentName)
	}
	return nil
}

// documentHeader begins what is sealed of a document, so that one put in
// another's place does not pass for it. The rest is the document as it is: it
// can be read by hand where age decrypts it.
func documentHeader(name string) []byte { return []byte("authferry document 1 " + name + "\n") }

// editDocument calls edit on a copy of a document, nil for none, and tells
// whether there is something to write.
func editDocument(name string, old []byte, edit func([]byte) ([]byte, error)) (next []byte, changed bool, err error) {
	next, err = edit(bytes.Clone(old))
	if err != nil {
		return nil, false, err
	}
	if len(next) > maxDocument {
		return nil, false, fmt.Errorf("the document %s would be of %d bytes, and a store takes %d: keep less in it", name, len(next), maxDocument)
	}
	return next, (old == nil) != (next == nil) || !bytes.Equal(old, next), nil
}

// closeDocument seals a document.
func (s *Seal) closeDocument(name string, data []byte) ([]byte, error) {
	sealed, err := s.close(append(documentHeader(name), data...))
	if err != nil {
		return nil, fmt.Errorf("sealing the document %s: %w", name, err)
	}
	return sealed, nil
}

// openDocument undoes closeDocument. The result is never nil without an error.
func (s *Seal) openDocument(name string, sealed []byte) ([]byte, error) {
	plain, err := s.open(sealed)
	if errors.Is(err, errOtherKey) {
		return nil, fmt.Errorf("the document %s is %w: the key in %s does not open it; put back the key it was sealed with", name, err, s.source)
	}
	if err != nil {
		return nil, fmt.Errorf("the document %s is %w", name, err)
	}
	data, ok := bytes.CutPrefix(plain, documentHeader(name))
	if !ok {
		return nil, fmt.Errorf("what is kept as the document %s is another one, or of a newer format: put it back as it was", name)
	}
	return data, nil
}
