// Package store keeps accounts at rest: one sealed record a mailbox, in files
// ([OpenFiles]) or in PostgreSQL ([OpenPostgres]), replaced as a whole and durably.
package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"authferry/internal/printable"
)

// ErrNoMailbox is returned by a [Store] for a mailbox it does not hold.
var ErrNoMailbox = errors.New("no such mailbox")

// errDelete, returned by an edit, has [Store.Update] delete the account under the
// lock that it holds.
var ErrDelete = errors.New("to be deleted")

// Store keeps accounts, and small documents of the programs that work with
// them. Its methods may be called by any number of goroutines
// and processes at once.
type Store interface {
	// Mailboxes lists the addresses in alphabetical order.
	Mailboxes(ctx context.Context) ([]string, error)
	// Get returns an account as last written, by whichever process. The result
	// is shared: do not change it. ErrNoMailbox if there is none.
	Get(ctx context.Context, mailbox string) (*Account, error)
	// Update locks a mailbox against every other Update and Delete, in this
	// and all other processes, reads it, calls edit, and makes the edited
	// account durable before it returns. An error from edit leaves the account
	// as it was and is returned; only errDelete deletes it. edit may take as long as it needs (it is where
	// tokens are refreshed). A mailbox not held is edited from an Account with
	// only Mailbox set. ctx bounds the wait for the lock and the reading; once
	// edit has returned nil the account is written whatever becomes of ctx,
	// since it may hold a token that exists nowhere else. edit may change the
	// account in any way but keep no reference to it that it writes through
	// later.
	Update(ctx context.Context, mailbox string, edit func(*Account) error) error
	// Delete forgets a mailbox. ErrNoMailbox if there is none.
	Delete(ctx context.Context, mailbox string) error

	// Usable returns why the store cannot be read and written now, nil if it can:
	// a token that is refreshed has to be written down, or it may be lost.
	Usable(ctx context.Context) error

	// Documents lists the names of documents in alphabetical order.
	Documents(ctx context.Context) ([]string, error)
	// Document returns what is kept under a name, of 1 to 64 of a-z, 0-9 and -,
	// as last written by whichever process, and nil if there is nothing. The
	// result is the caller's own.
	Document(ctx context.Context, name string) ([]byte, error)
	// UpdateDocument locks a document against every other UpdateDocument of it,
	// in this and all other processes, calls edit with a copy of it, nil if there
	// is none, and makes what edit returns durable before it returns; nil removes
	// it. An error from edit leaves it as it was and is returned. ctx bounds the
	// wait for the lock and the reading, and not the writing.
	UpdateDocument(ctx context.Context, name string, edit func(old []byte) (new []byte, err error)) error
}

// editAccount calls edit and seals what became of the account, unless it was
// held and is as it was.
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
