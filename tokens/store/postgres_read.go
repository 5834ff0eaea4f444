package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"authferry/internal/printable"
)

// Mailboxes lists the addresses in alphabetical order.
func (s *Postgres) Mailboxes(ctx context.Context) ([]string, error) {
	return s.names(ctx, mailboxShelf, "mailboxes")
}

// Documents lists the names of documents in alphabetical order.
func (s *Postgres) Documents(ctx context.Context) ([]string, error) {
	return s.names(ctx, documentShelf, "documents")
}

func (s *Postgres) names(ctx context.Context, on shelf, what string) ([]string, error) {
	var versions map[string]int64
	err := s.reading(ctx, func(ctx context.Context) (err error) {
		versions, err = allVersions(ctx, s.reads, on)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the %s: %w", what, err)
	}
	// Bytewise, as everywhere else, and not as the database would.
	return slices.Sorted(maps.Keys(versions)), nil
}

// reading bounds a read, and does it again where the connection was dead: a
// server that was restarted leaves such in the pool.
func (s *Postgres) reading(ctx context.Context, read func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	err := read(ctx)
	answer, none := (*pgconn.PgError)(nil), (*pgconn.ConnectError)(nil)
	if err == nil || ctx.Err() != nil || errors.Is(err, pgx.ErrNoRows) || errors.As(err, &none) ||
		errors.As(err, &answer) && !strings.HasPrefix(answer.Code, shutdownClass) {
		return inOneLine(err)
	}
	s.reads.Reset()
	return inOneLine(read(ctx))
}

// shutdownClass begins the codes of a server that ends connections: what it
// said last is the answer to what is asked first.
const shutdownClass = "57P"

// querier is a connection or a pool of them.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// allVersions are those of what stands on a shelf, by name.
func allVersions(ctx context.Context, q querier, on shelf) (map[string]int64, error) {
	rows, err := q.Query(ctx, `SELECT name, version FROM `+string(on))
	if err != nil {
		return nil, err
	}
	versions := map[string]int64{}
	var name string
	var version int64
	_, err = pgx.ForEachRow(rows, []any{&name, &version}, func() error {
		versions[name] = version
		return nil
	})
	return versions, err
}

// Get returns an account: from memory where it is known to be as last written,
// or where nobody can tell; see [PostgresOptions].
func (s *Postgres) Get(ctx context.Context, mailbox string) (*Account, error) {
	if a := s.cache.look(mailbox); a != nil {
		return a, nil
	}
	a, err := s.read(ctx, mailbox)
	if errors.Is(err, errDatabase) {
		if a := s.cache.lastKnown(mailbox); a != nil {
			return a, nil
		}
	}
	return a, err
}

// Latest is Get past all memory, for an account that would be answered for
// wrongly if it were not the latest. nil if a is.
func (s *Postgres) Latest(ctx context.Context, a *Account) (*Account, error) {
	version, ok := s.cache.version(a)
	if !ok {
		return nil, nil // it was read for the caller
	}
	var now int64
	err := s.reading(ctx, func(ctx context.Context) error {
		return s.reads.QueryRow(ctx, `SELECT version FROM `+string(mailboxShelf)+` WHERE name = $1`, a.Mailbox).Scan(&now)
	})
	switch {
	case err == nil && now == version:
		return nil, nil
	case err == nil || errors.Is(err, pgx.ErrNoRows):
		return s.read(ctx, a.Mailbox)
	}
	return nil, fmt.Errorf("reading the account of %s: %w", printable.Quote(a.Mailbox), err)
}

// errDatabase: the database did not answer, as opposed to an answer that is no
// good.
var errDatabase = errors.New("PostgreSQL does not answer")

// read reads an account from the database.
func (s *Postgres) read(ctx context.Context, mailbox string) (*Account, error) {
	if !isName(mailbox) {
		return nil, fmt.Errorf("%w: %s", ErrNoMailbox, printable.Quote(mailbox))
	}
	era := s.cache.now()
	found, err := s.fetch(ctx, mailboxShelf, mailbox)
	if err != nil {
		return nil, fmt.Errorf("reading the account of %s: %w: %w", printable.Quote(mailbox), errDatabase, err)
	}
	if found.sealed == nil {
		return nil, fmt.Errorf("%w: %s", ErrNoMailbox, printable.Quote(mailbox))
	}
	a, err := s.openAccount(mailbox, found.sealed)
	if err != nil {
		return nil, err
	}
	s.cache.keep(mailbox, a, found.version, era)
	return a, nil
}

// fetch reads a row as it is.
func (s *Postgres) fetch(ctx context.Context, on shelf, name string) (row, error) {
	var found row
	err := s.reading(ctx, func(ctx context.Context) error {
		return s.reads.QueryRow(ctx, `SELECT sealed, version FROM `+string(on)+` WHERE name = $1`, name).Scan(&found.sealed, &found.version)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return row{}, nil
	}
	return found, err
}

// openAccount opens what is kept of a mailbox.
func (s *Postgres) openAccount(mailbox string, sealed []byte) (*Account, error) {
	plain, err := s.seal.open(sealed)
	if err != nil {
		return nil, fmt.Errorf("the row of %s in PostgreSQL is %w", printable.Quote(mailbox), err)
	}
	a, err := decodeRecord(plain)
	if err != nil {
		return nil, fmt.Errorf("reading the row of %s in PostgreSQL: %w", printable.Quote(mailbox), err)
	}
	// As with files: one row put in the place of another lends it nothing.
	if a.Mailbox != mailbox {
		return nil, fmt.Errorf("the row of %s in PostgreSQL holds the account of %s: put it back as it was", printable.Quote(mailbox), printable.Quote(a.Mailbox))
	}
	return a, nil
}

// Document returns a document as last written, by whichever process.
func (s *Postgres) Document(ctx context.Context, name string) ([]byte, error) {
	if err := checkDocumentName(name); err != nil {
		return nil, err
	}
	found, err := s.fetch(ctx, documentShelf, name)
	if err != nil {
		return nil, fmt.Errorf("reading the document %s: %w", name, err)
	}
	if found.sealed == nil {
		return nil, nil
	}
	return s.seal.openDocument(name, found.sealed)
}
