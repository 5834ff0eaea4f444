package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"authferry/internal/printable"
)

// shelf is one of the two tables, which are of one shape.
type shelf string

const (
	mailboxShelf  shelf = "authferry_mailboxes"
	documentShelf shelf = "authferry_documents"
)

// row is what stands on a shelf under a name.
type row struct {
	sealed  []byte // nil: nothing
	version int64
}

// Update edits an account under its lock; see [Store].
func (s *Postgres) Update(ctx context.Context, mailbox string, edit func(*Account) error) error {
	if !isName(mailbox) {
		return fmt.Errorf("%s cannot be the address of a mailbox: write it as you@example.com", printable.Quote(mailbox))
	}
	var edited *Account
	deleted := false
	era := s.cache.now()
	written, err := s.edit(ctx, mailboxShelf, mailbox, "the account of "+printable.Quote(mailbox), func(was row) ([]byte, bool, error) {
		edited = &Account{Mailbox: mailbox}
		if was.sealed != nil {
			var err error
			if edited, err = s.openAccount(mailbox, was.sealed); err != nil {
				return nil, false, err
			}
			s.seen(mailbox, was, era)
		}
		sealed, changed, err := s.seal.editAccount(edited, was.sealed != nil, edit)
		if !errors.Is(err, ErrDelete) {
			return sealed, changed, err
		}
		if was.sealed == nil {
			return nil, false, fmt.Errorf("%w: %s", ErrNoMailbox, printable.Quote(mailbox))
		}
		deleted = true
		return nil, true, nil
	})
	switch {
	case err != nil:
	case deleted:
		s.cache.gone(mailbox, written.version)
	case written.sealed != nil:
		s.cache.wrote(mailbox, edited, written.version)
	}
	return err
}

// seen remembers what an edit found where memory is behind: who comes second to a
// refresh leaves the account as it is, and has the next login find it so.
func (s *Postgres) seen(mailbox string, was row, era int) {
	if !s.cache.behind(mailbox, was.version) {
		return
	}
	// A copy of its own: the edit changes the other one.
	if a, err := s.openAccount(mailbox, was.sealed); err == nil {
		s.cache.keep(mailbox, a, was.version, era)
	}
}

// Delete forgets a mailbox.
func (s *Postgres) Delete(ctx context.Context, mailbox string) error {
	missing := fmt.Errorf("%w: %s", ErrNoMailbox, printable.Quote(mailbox))
	if !isName(mailbox) {
		return missing
	}
	removed, err := s.edit(ctx, mailboxShelf, mailbox, "the account of "+printable.Quote(mailbox), func(was row) ([]byte, bool, error) {
		if was.sealed == nil {
			return nil, false, missing
		}
		return nil, true, nil
	})
	if err == nil {
		s.cache.gone(mailbox, removed.version)
	}
	return err
}

// UpdateDocument edits a document under its lock; see [Store].
func (s *Postgres) UpdateDocument(ctx context.Context, name string, edit func([]byte) ([]byte, error)) error {
	if err := checkDocumentName(name); err != nil {
		return err
	}
	_, err := s.edit(ctx, documentShelf, name, "the document "+name, func(was row) ([]byte, bool, error) {
		var old []byte
		if was.sealed != nil {
			var err error
			if old, err = s.seal.openDocument(name, was.sealed); err != nil {
				return nil, false, err
			}
		}
		next, changed, err := editDocument(name, old, edit)
		if err != nil || !changed || next == nil {
			return nil, changed, err
		}
		sealed, err := s.seal.closeDocument(name, next)
		return sealed, true, err
	})
	return err
}

// isName tells what the database can keep as a name from what only strangers
// send.
func isName(name string) bool {
	return name != "" && len(name) <= MaxName && utf8.ValidString(name) && !strings.Contains(name, "\x00")
}

// held is a row that is locked, until release.
type held struct {
	row
	conn *pgxpool.Conn
	tx   pgx.Tx
}

// edit calls change with a row under its lock, and writes what it returns; nil
// removes the row.
func (s *Postgres) edit(ctx context.Context, on shelf, name, what string, change func(row) (next []byte, changed bool, err error)) (row, error) {
	unlock, err := s.locks.lock(ctx, string(on)+" "+name)
	if err != nil {
		return row{}, fmt.Errorf("waiting to edit %s: %w", what, err)
	}
	defer unlock()
	h, err := s.hold(ctx, on, name)
	if err != nil {
		return row{}, fmt.Errorf("locking %s: %w", what, err)
	}
	defer h.release(ctx)
	next, changed, err := change(h.row)
	if err != nil || !changed {
		return row{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.writeTime)
	defer cancel()
	version, err := h.put(ctx, on, name, next)
	if err != nil && h.conn.Conn().IsClosed() {
		version, err = s.putAgain(ctx, on, name, h.row, next, err)
	}
	if err != nil {
		return row{}, fmt.Errorf("writing %s: %w", what, err)
	}
	if next == nil {
		version = h.version // the last there was
	}
	return row{next, version}, nil
}

// hold takes a connection and locks a row on it, whether it is there or not. A
// server that was restarted leaves dead connections in the pool; those are not
// taken twice.
func (s *Postgres) hold(ctx context.Context, on shelf, name string) (*held, error) {
	for again := false; ; again = true {
		conn, err := s.edits.Acquire(ctx)
		if err != nil {
			return nil, byContext(ctx, err)
		}
		h := &held{conn: conn}
		if err = h.lock(ctx, on, name); err == nil {
			return h, nil
		}
		dead := conn.Conn().IsClosed()
		h.release(ctx)
		if again || !dead || ctx.Err() != nil {
			return nil, byContext(ctx, err)
		}
		s.edits.Reset()
	}
}

func (h *held) lock(ctx context.Context, on shelf, name string) (err error) {
	if h.tx, err = h.conn.Begin(ctx); err != nil {
		return err
	}
	// A statement of its own: one sees what was committed before it began.
	_, err = h.tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' ' || $1, 0))`, string(on)+" "+name)
	if err != nil {
		return err
	}
	// FOR UPDATE holds off who edits by hand.
	err = h.tx.QueryRow(ctx, `SELECT sealed, version FROM `+string(on)+` WHERE name = $1 FOR UPDATE`, name).Scan(&h.sealed, &h.version)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return err
}

// put writes a row that is held, and commits.
func (h *held) put(ctx context.Context, on shelf, name string, next []byte) (version int64, err error) {
	if next == nil {
		_, err = h.tx.Exec(ctx, `DELETE FROM `+string(on)+` WHERE name = $1`, name)
	} else {
		err = h.tx.QueryRow(ctx, `INSERT INTO `+string(on)+` (name, version, sealed) VALUES ($1, 0, $2)
			ON CONFLICT (name) DO UPDATE SET sealed = EXCLUDED.sealed RETURNING version`, name, next).Scan(&version)
	}
	if err != nil {
		return 0, err
	}
	return version, h.tx.Commit(ctx)
}

// putAgain writes after the connection was lost, and with it the lock, and
// perhaps the news that all was well: the server was restarted, or another one
// took over. What is there tells which.
func (s *Postgres) putAgain(ctx context.Context, on shelf, name string, was row, next []byte, lost error) (version int64, err error) {
	for {
		h, err := s.hold(ctx, on, name)
		switch {
		case err == nil && bytes.Equal(h.sealed, next):
			h.release(ctx)
			return h.version, nil
		case err == nil && h.version != was.version:
			h.release(ctx)
			return 0, fmt.Errorf("%w, and somebody else has edited it since", lost)
		case err == nil:
			version, err = h.put(ctx, on, name, next)
			again := err != nil && h.conn.Conn().IsClosed()
			h.release(ctx)
			if !again {
				return version, err
			}
		}
		select {
		case <-time.After(writePause):
		case <-ctx.Done():
			return 0, lost
		}
	}
}

// release lets go of the lock and the connection.
func (h *held) release(ctx context.Context) {
	if h.tx != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTime)
		defer cancel()
		// It fails after a commit, and where the connection is gone with the lock.
		_ = h.tx.Rollback(ctx)
	}
	h.conn.Release()
}

// byContext is why something was given up: what the driver says of a context
// that ended is about the socket.
func byContext(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return inOneLine(err)
}

// inOneLine is an error of the driver, which tells of every address it tried in
// a line of its own, and twice where TLS is a choice.
func inOneLine(err error) error {
	if err == nil || !strings.Contains(err.Error(), "\n") {
		return err
	}
	var lines []string
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSpace(line)
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return &lineError{err, lines[0] + " " + strings.Join(lines[1:], "; ")}
}

type lineError struct {
	error
	line string
}

func (e *lineError) Error() string { return e.line }
func (e *lineError) Unwrap() error { return e.error }
