package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Contents is everything in a store, read into memory to be written to another store.
type Contents struct {
	accounts  []*Account
	documents map[string][]byte
}

func (c Contents) Format(f fmt.State, _ rune) { io.WriteString(f, "contents of a store") }

// ReadContents reads a whole store. Anything that cannot be read is an error, so that
// an incomplete copy is not taken for the store.
func ReadContents(ctx context.Context, from Store) (*Contents, error) {
	mailboxes, err := from.Mailboxes(ctx)
	if err != nil {
		return nil, err
	}
	names, err := from.Documents(ctx)
	if err != nil {
		return nil, err
	}
	c, errs := &Contents{documents: map[string][]byte{}}, []error(nil)
	for _, mailbox := range mailboxes {
		a, err := from.Get(ctx, mailbox)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c.accounts = append(c.accounts, a)
	}
	for _, name := range names {
		data, err := from.Document(ctx, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c.documents[name] = data
	}
	return c, errors.Join(errs...)
}

// Count returns the numbers of mailboxes and documents.
func (c *Contents) Count() (mailboxes, documents int) { return len(c.accounts), len(c.documents) }

// ErrOccupied is returned for a store with content that would be overwritten.
var ErrOccupied = errors.New("it already has different content")

// Write writes the contents to another store. If that has different content under the
// same names, Write overwrites it if force is set, and otherwise writes nothing.
func (c *Contents) Write(ctx context.Context, to Store, force bool) error {
	differing, err := c.compare(ctx, to, false)
	if err != nil && !force {
		return err
	}
	if len(differing) > 0 && !force {
		return fmt.Errorf("%w: %s", ErrOccupied, someOf(differing))
	}
	for _, a := range c.accounts {
		err := to.Update(ctx, a.Mailbox, func(into *Account) error {
			if into.Held() && !force && !sameRecord(into, a) {
				return fmt.Errorf("%w: %s", ErrOccupied, a.Mailbox)
			}
			*into = *a
			return nil
		})
		if err != nil {
			return err
		}
	}
	for name, data := range c.documents {
		err := to.UpdateDocument(ctx, name, func(old []byte) ([]byte, error) {
			if old != nil && !force && !bytes.Equal(old, data) {
				return nil, fmt.Errorf("%w: the document %s", ErrOccupied, name)
			}
			return data, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Verify reads another store and compares it with the contents.
func (c *Contents) Verify(ctx context.Context, in Store) error {
	differing, err := c.compare(ctx, in, true)
	if err == nil && len(differing) > 0 {
		err = fmt.Errorf("read back, these differ from what was written: %s", someOf(differing))
	}
	return err
}

// compare returns the names of what differs in a store, or is missing if missing is set.
func (c *Contents) compare(ctx context.Context, s Store, missing bool) (differing []string, err error) {
	for _, a := range c.accounts {
		b, err := s.Get(ctx, a.Mailbox)
		switch {
		case errors.Is(err, ErrNoMailbox) && !missing:
		case errors.Is(err, ErrNoMailbox) || err == nil && !sameRecord(a, b):
			differing = append(differing, a.Mailbox)
		case err != nil:
			return nil, err
		}
	}
	for name, data := range c.documents {
		got, err := s.Document(ctx, name)
		if err != nil {
			return nil, err
		}
		if got == nil && missing || got != nil && !bytes.Equal(got, data) {
			differing = append(differing, "the document "+name)
		}
	}
	slices.Sort(differing)
	return differing, nil
}

func sameRecord(a, b *Account) bool {
	x, xerr := encodeRecord(a)
	y, yerr := encodeRecord(b)
	return xerr == nil && yerr == nil && bytes.Equal(x, y)
}

// someOf lists the first few names.
func someOf(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
