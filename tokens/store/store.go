// Package store keeps accounts at rest: one sealed record for each mailbox, in files
// ([OpenFiles]) or in PostgreSQL ([OpenPostgres]). Each write replaces a record as a
// whole and durably.
package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"authferry/internal/printable"
)

// ErrNoMailbox is returned by a [Store] for a mailbox that it does not hold.
var ErrNoMailbox = errors.New("no such mailbox")

// ErrDelete, returned by an edit, makes [Store].Update delete the account under its
// lock.
var ErrDelete = errors.New("to be deleted")

// Store keeps accounts, and small documents of the programs that work with them. Any
// number of goroutines and processes may call its methods at once.
type Store interface {
	// Mailboxes lists the addresses in alphabetical order.
	Mailboxes(ctx context.Context) ([]string, error)
	// Get returns an account as last written by any process, or ErrNoMailbox. The
	// result is shared: do not change it. See [Account].Unconfirmed for a store that
	// cannot be reached.
	Get(ctx context.Context, mailbox string) (*Account, error)
	// Update locks a mailbox against every other Update and Delete, in this and all
	// other processes, reads it, calls edit, and makes the edited account durable
	// before it returns. An error from edit leaves the account as it was and is
	// returned; only ErrDelete deletes it. edit may take as long as it needs, since
	// tokens are refreshed in it. A mailbox that is not held is edited from an
	// Account with only Mailbox set. ctx bounds the wait for the lock and the read.
	// After edit has returned nil the account is written even if ctx is done, since
	// it may contain the only copy of a token. edit must not keep references into
	// the account that it writes through later.
	Update(ctx context.Context, mailbox string, edit func(*Account) error) error
	// Delete removes a mailbox. ErrNoMailbox if there is none.
	Delete(ctx context.Context, mailbox string) error

	// Usable returns why the store cannot be read or written now, nil if it can. A
	// refreshed token that cannot be written may be lost.
	Usable(ctx context.Context) error

	// Documents lists the names of documents in alphabetical order.
	Documents(ctx context.Context) ([]string, error)
	// Document returns a document as last written by any process, nil if there is
	// none. Its name consists of 1 to 64 of a-z, 0-9 and -. The caller may change the
	// result.
	Document(ctx context.Context, name string) ([]byte, error)
	// UpdateDocument locks a document against every other UpdateDocument of it, in
	// this and all other processes, calls edit with a copy of it, nil if there is
	// none, and makes the result durable before it returns; nil removes the document.
	// An error from edit leaves it as it was and is returned. ctx bounds the wait for
	// the lock and the read, but not the write.
	UpdateDocument(ctx context.Context, name string, edit func(old []byte) (new []byte, err error)) error
}

// editAccount calls edit and seals the edited account, unless it was held and has not
// changed.
func (s *Seal) editAccount(a *Account, held bool, edit func(*Account) error) (sealed []byte, changed bool, err error) {
	mailbox := a.Mailbox
	before, err := encodeRecord(a)
	if err != nil {
		return nil, false, fmt.Errorf("encoding the account of %s: %w", printable.Quote(mailbox), err)
	}
	if err := edit(a); err != nil {
		return nil, false, err
	}
	a.Mailbox, a.Unconfirmed = mailbox, false
	plain, err := encodeRecord(a)
	if err != nil {
		return nil, false, fmt.Errorf("encoding the account of %s: %w", printable.Quote(mailbox), err)
	}
	if held && bytes.Equal(before, plain) {
		return nil, false, nil
	}
	if sealed, err = s.close(plain); err != nil {
		return nil, false, fmt.Errorf("sealing the account of %s: %w", printable.Quote(mailbox), err)
	}
	return sealed, true, nil
}

const (
	// maxDocument leaves room for the seal in what is read back.
	maxDocument = maxSealed / 2
	// maxDocumentName is in bytes.
	maxDocumentName = 64
)

// checkDocumentName allows only names that every file system and every database keeps
// apart.
func checkDocumentName(name string) error {
	other := strings.TrimLeft(name, "abcdefghijklmnopqrstuvwxyz0123456789-")
	if name == "" || len(name) > maxDocumentName || other != "" {
		return fmt.Errorf("%s is not a name for a document: 1 to %d of a-z, 0-9 and -", printable.Quote(name), maxDocumentName)
	}
	return nil
}

// editDocument calls edit with a copy of a document, nil for none, and seals the
// result. sealed is nil if edit removed the document.
func (s *Seal) editDocument(name string, old []byte, edit func([]byte) ([]byte, error)) (sealed []byte, changed bool, err error) {
	next, err := edit(bytes.Clone(old))
	if err != nil {
		return nil, false, err
	}
	if len(next) > maxDocument {
		return nil, false, fmt.Errorf("the document %s would have %d bytes, and a store takes %d: keep less in it", name, len(next), maxDocument)
	}
	if next == nil {
		return nil, old != nil, nil
	}
	if old != nil && bytes.Equal(old, next) {
		return nil, false, nil
	}
	sealed, err = s.closeDocument(name, next)
	return sealed, true, err
}

// keyLocks excludes the goroutines of this process from each other, by key. The lock
// that excludes processes (of a file, or of a connection to a database) then has one
// holder at a time.
type keyLocks struct {
	mu    sync.Mutex
	locks map[string]*keyLock
}

type keyLock struct {
	held  chan struct{}
	users int
}

// lock waits for a key until ctx is done.
func (k *keyLocks) lock(ctx context.Context, key string) (unlock func(), err error) {
	k.mu.Lock()
	if k.locks == nil {
		k.locks = map[string]*keyLock{}
	}
	l := k.locks[key]
	if l == nil {
		l = &keyLock{held: make(chan struct{}, 1)}
		k.locks[key] = l
	}
	l.users++
	k.mu.Unlock()
	leave := func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(k.locks, key)
		}
	}
	select {
	case l.held <- struct{}{}:
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
	return func() {
		<-l.held
		leave()
	}, nil
}
