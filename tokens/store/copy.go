package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Contents are all that a store keeps, in memory, on the way to another store.
type Contents struct {
	accounts  []*Account
	documents map[string][]byte
}

// ReadContents reads a store whole. One thing that cannot be read is an error:
// a copy without it would pass for the store.
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

// Count tells how many mailboxes and documents there are.
func (c *Contents) Count() (mailboxes, documents int) { return len(c.accounts), len(c.documents) }

// ErrOccupied says that a store has what would be overwritten.
var ErrOccupied = errors.New("there is something else in it already")

// Write puts the contents into another store. What is there under the same names
// with other content is overwritten if force says so, and otherwise nothing is
// written at all.
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

// Verify reads another store and compares.
func (c *Contents) Verify(ctx context.Context, in Store) error {
	differing, err := c.compare(ctx, in, true)
	if err == nil && len(differing) > 0 {
		err = fmt.Errorf("read back, this is not as it was written: %s", someOf(differing))
	}
	return err
}

// compare names what a store has otherwise, or does not have where missing counts.
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

// someOf names the first few.
func someOf(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
