package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"authferry/internal/printable"
	"authferry/internal/secret"
)

const (
	// DefaultOutage is how long logins continue while PostgreSQL cannot be
	// reached; see [PostgresOptions].
	DefaultOutage = 15 * time.Minute

	// maxEdits bounds the edits under way in one process: each holds a connection
	// while its provider refreshes a token. pool_max_conns in the URL overrides it.
	maxEdits = 10
	// maxReads connections are separate, so that reads do not wait for providers.
	maxReads = 4
	// readTime bounds a read including the time to connect.
	readTime = 5 * time.Second
	// writeTime is how long a write is retried: a failover takes seconds, and the
	// row may contain the only copy of a token.
	writeTime = 10 * time.Second
	// writePause is the time between two attempts.
	writePause = 200 * time.Millisecond
)

// Postgres keeps each account in a sealed row of a table, for any number of
// processes on any number of machines. [Postgres.Get] queries the table each
// time; see lastKnown for the time that PostgreSQL cannot be reached.
//
// An edit holds an advisory lock of its transaction, on its own connection. The
// lock ends with the transaction, the connection or the machine. (A row lock would
// not exclude two processes that add the same mailbox.)
type Postgres struct {
	seal         *Seal
	log          *zap.Logger
	config       *pgx.ConnConfig
	edits, reads *pgxpool.Pool
	locks        keyLocks
	known        lastKnown
	heartbeat    time.Duration
	writeTime    time.Duration
}

// PostgresOptions say which database to use and how.
type PostgresOptions struct {
	URL  secret.String // postgres://USER:PASSWORD@HOST/DATABASE
	Seal *Seal         // the same for every process
	// Outage is how long logins with valid tokens continue while the database
	// cannot be reached. A server that is cut off accepts a password that was
	// revoked in the meantime for the same time. 0 means DefaultOutage.
	Outage time.Duration
	Log    *zap.Logger
}

var _ Store = (*Postgres)(nil)

// OpenPostgres connects to a database and brings its tables up to date.
func OpenPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	config, err := postgresConfig(o.URL)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if err := migrate(ctx, config.ConnConfig, o.Seal); err != nil {
		return nil, fmt.Errorf("opening the store in PostgreSQL at %s: %w", placeOf(config.ConnConfig), err)
	}
	s := &Postgres{seal: o.Seal, log: o.Log, config: config.ConnConfig, heartbeat: heartbeat, writeTime: writeTime}
	s.known.outage = cmp.Or(o.Outage, DefaultOutage)
	config.MaxConnIdleTime = 5 * time.Minute
	reads := config.Copy()
	reads.MaxConns = maxReads
	if !strings.Contains(o.URL.Reveal(), "pool_max_conns=") {
		config.MaxConns = maxEdits
	}
	// The pools connect when they are used.
	if s.edits, err = pgxpool.NewWithConfig(context.Background(), config); err != nil {
		return nil, err
	}
	if s.reads, err = pgxpool.NewWithConfig(context.Background(), reads); err != nil {
		s.edits.Close()
		return nil, err
	}
	return s, nil
}

// Close waits for edits under way and closes the connections.
func (s *Postgres) Close() error {
	s.edits.Close()
	s.reads.Close()
	return nil
}

// table is one of the two tables, which have the same columns.
type table string

const (
	mailboxTable  table = "authferry_mailboxes"
	documentTable table = "authferry_documents"
)

// row is what a table has under a name.
type row struct {
	sealed  []byte // nil: no row
	version int64
}

// isName reports whether PostgreSQL can keep a name. Clients send any bytes.
func isName(name string) bool {
	return name != "" && len(name) <= maxName && utf8.ValidString(name) && !strings.Contains(name, "\x00")
}

// Usable is part of [Store].
func (s *Postgres) Usable(ctx context.Context) error {
	_, err := s.Mailboxes(ctx)
	return err
}

// Mailboxes is part of [Store].
func (s *Postgres) Mailboxes(ctx context.Context) ([]string, error) {
	return s.names(ctx, mailboxTable, "mailboxes")
}

// Documents is part of [Store].
func (s *Postgres) Documents(ctx context.Context) ([]string, error) {
	return s.names(ctx, documentTable, "documents")
}

func (s *Postgres) names(ctx context.Context, t table, what string) ([]string, error) {
	var versions map[string]int64
	err := s.reading(ctx, func(ctx context.Context) (err error) {
		versions, err = readVersions(ctx, s.reads, t)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the %s: %w", what, err)
	}
	// Bytewise like everywhere else; the order of the database depends on its locale.
	return slices.Sorted(maps.Keys(versions)), nil
}

// querier is a connection or a pool.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// readVersions returns the versions of all rows of a table by name.
func readVersions(ctx context.Context, q querier, t table) (map[string]int64, error) {
	rows, err := q.Query(ctx, `SELECT name, version FROM `+string(t))
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

// shutdownClass is the class of the SQLSTATE codes of a server that ends
// connections. The driver reports such a code as the answer to the next query.
const shutdownClass = "57P"

// reading bounds a read, and repeats it if the connection was dead: after a
// restart of the server the pool contains such connections.
func (s *Postgres) reading(ctx context.Context, read func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	err := read(ctx)
	answer, unconnected := (*pgconn.PgError)(nil), (*pgconn.ConnectError)(nil)
	if err == nil || ctx.Err() != nil || errors.Is(err, pgx.ErrNoRows) || errors.As(err, &unconnected) ||
		errors.As(err, &answer) && !strings.HasPrefix(answer.Code, shutdownClass) {
		return inOneLine(err)
	}
	s.reads.Reset()
	return inOneLine(read(ctx))
}

// readRow returns a row as it was last written.
func (s *Postgres) readRow(ctx context.Context, t table, name string) (row, error) {
	var r row
	err := s.reading(ctx, func(ctx context.Context) error {
		return s.reads.QueryRow(ctx, `SELECT sealed, version FROM `+string(t)+` WHERE name = $1`, name).Scan(&r.sealed, &r.version)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return row{}, nil
	}
	return r, err
}

// Get is part of [Store]. While the database cannot be reached, it returns the last
// known copy of an account with Unconfirmed set, for at most
// [PostgresOptions].Outage.
func (s *Postgres) Get(ctx context.Context, mailbox string) (*Account, error) {
	if s.known.isAway() { // a query would only delay the login
		if a := s.known.account(mailbox); a != nil {
			return a, nil
		}
	}
	a, err := s.read(ctx, mailbox)
	if errors.Is(err, errDatabase) {
		if known := s.known.account(mailbox); known != nil {
			return known, nil
		}
	}
	return a, err
}

// errDatabase is the error of a query that failed, as opposed to a row that
// cannot be used.
var errDatabase = errors.New("PostgreSQL does not answer")

// read reads an account from the database and keeps a copy of it.
func (s *Postgres) read(ctx context.Context, mailbox string) (*Account, error) {
	missing := fmt.Errorf("%w: %s", ErrNoMailbox, printable.Quote(mailbox))
	if !isName(mailbox) {
		return nil, missing
	}
	changes := s.known.changesOf(mailbox)
	r, err := s.readRow(ctx, mailboxTable, mailbox)
	if err != nil {
		return nil, fmt.Errorf("reading the account of %s: %w: %w", printable.Quote(mailbox), errDatabase, err)
	}
	if r.sealed == nil {
		s.known.drop(mailbox)
		return nil, missing
	}
	a := s.known.opened(mailbox, r.sealed)
	if a == nil {
		if a, err = s.openAccount(mailbox, r.sealed); err != nil {
			return nil, err
		}
	}
	s.known.keep(mailbox, a, r, changes)
	return a, nil
}

// openAccount opens the sealed row of a mailbox.
func (s *Postgres) openAccount(mailbox string, sealed []byte) (*Account, error) {
	plain, err := s.seal.open(sealed)
	if err != nil {
		return nil, fmt.Errorf("the row of %s in PostgreSQL is %w", printable.Quote(mailbox), err)
	}
	a, err := decodeRecord(plain)
	if err != nil {
		return nil, fmt.Errorf("reading the row of %s in PostgreSQL: %w", printable.Quote(mailbox), err)
	}
	// The name is inside the seal too, so that one row copied over another does
	// not give away its mailbox.
	if a.Mailbox != mailbox {
		return nil, fmt.Errorf("the row of %s in PostgreSQL holds the account of %s: restore it", printable.Quote(mailbox), printable.Quote(a.Mailbox))
	}
	return a, nil
}

// Document is part of [Store].
func (s *Postgres) Document(ctx context.Context, name string) ([]byte, error) {
	if err := checkDocumentName(name); err != nil {
		return nil, err
	}
	r, err := s.readRow(ctx, documentTable, name)
	if err != nil {
		return nil, fmt.Errorf("reading the document %s: %w", name, err)
	}
	if r.sealed == nil {
		return nil, nil
	}
	return s.seal.openDocument(name, r.sealed)
}

// Update is part of [Store].
func (s *Postgres) Update(ctx context.Context, mailbox string, edit func(*Account) error) error {
	if !isName(mailbox) {
		return fmt.Errorf("%s cannot be the address of a mailbox: write it as you@example.com", printable.Quote(mailbox))
	}
	changes := s.known.changesOf(mailbox)
	var edited *Account
	written, changed, err := s.edit(ctx, mailboxTable, mailbox, func(old row) ([]byte, bool, error) {
		edited = &Account{Mailbox: mailbox}
		if old.sealed != nil {
			var err error
			if edited, err = s.openAccount(mailbox, old.sealed); err != nil {
				return nil, false, err
			}
		}
		sealed, changed, err := s.seal.editAccount(edited, old.sealed != nil, edit)
		if errors.Is(err, ErrDelete) {
			return deletion(mailbox, old)
		}
		return sealed, changed, err
	})
	switch {
	case err != nil || !changed:
	case written.sealed == nil:
		s.known.drop(mailbox)
	default:
		s.known.keep(mailbox, edited, written, changes)
	}
	return err
}

// Delete is part of [Store].
func (s *Postgres) Delete(ctx context.Context, mailbox string) error {
	if !isName(mailbox) {
		return fmt.Errorf("%w: %s", ErrNoMailbox, printable.Quote(mailbox))
	}
	_, _, err := s.edit(ctx, mailboxTable, mailbox, func(old row) ([]byte, bool, error) { return deletion(mailbox, old) })
	if err == nil {
		s.known.drop(mailbox)
	}
	return err
}

// deletion is the change of a row that deletes it.
func deletion(mailbox string, old row) (next []byte, changed bool, err error) {
	if old.sealed == nil {
		return nil, false, fmt.Errorf("%w: %s", ErrNoMailbox, printable.Quote(mailbox))
	}
	return nil, true, nil
}

// UpdateDocument is part of [Store].
func (s *Postgres) UpdateDocument(ctx context.Context, name string, edit func([]byte) ([]byte, error)) error {
	if err := checkDocumentName(name); err != nil {
		return err
	}
	_, _, err := s.edit(ctx, documentTable, name, func(row row) ([]byte, bool, error) {
		var old []byte
		if row.sealed != nil {
			var err error
			if old, err = s.seal.openDocument(name, row.sealed); err != nil {
				return nil, false, err
			}
		}
		return s.seal.editDocument(name, old, edit)
	})
	return err
}

// edit calls change with a locked row, and writes what it returns; nil deletes the
// row.
func (s *Postgres) edit(ctx context.Context, t table, name string, change func(row) (next []byte, changed bool, err error)) (written row, changed bool, err error) {
	what := "the document " + name
	if t == mailboxTable {
		what = "the account of " + printable.Quote(name)
	}
	unlock, err := s.locks.lock(ctx, string(t)+" "+name)
	if err != nil {
		return row{}, false, fmt.Errorf("waiting to edit %s: %w", what, err)
	}
	defer unlock()
	r, err := s.lockRow(ctx, t, name)
	if err != nil {
		return row{}, false, fmt.Errorf("locking %s: %w", what, err)
	}
	defer r.release(ctx)
	next, changed, err := change(r.row)
	if err != nil || !changed {
		return row{}, false, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.writeTime)
	defer cancel()
	version, err := r.write(ctx, next)
	if err != nil && r.conn.Conn().IsClosed() {
		version, err = s.retryWrite(ctx, r, next, err)
	}
	if err != nil {
		return row{}, false, fmt.Errorf("writing %s: %w", what, err)
	}
	return row{next, version}, true, nil
}

// retryWrite writes after the connection was lost: the server was restarted, or
// another one took over. The lock is lost too, and perhaps only the answer to a
// successful commit. The row shows which.
func (s *Postgres) retryWrite(ctx context.Context, old *lockedRow, next []byte, lost error) (version int64, err error) {
	for {
		r, err := s.lockRow(ctx, old.table, old.name)
		if err == nil {
			again := false
			switch {
			case bytes.Equal(r.sealed, next):
				version = r.version
			case r.version != old.version:
				err = fmt.Errorf("%w, and another process has edited it since", lost)
			default:
				version, err = r.write(ctx, next)
				again = err != nil && r.conn.Conn().IsClosed()
			}
			r.release(ctx)
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

// lockedRow is a row that is locked until release, whether it exists or not.
type lockedRow struct {
	row
	table table
	name  string
	conn  *pgxpool.Conn
	tx    pgx.Tx
}

// lockRow takes a connection and locks a row on it. After a restart of the server
// the pool contains dead connections; it tries one of those only once.
func (s *Postgres) lockRow(ctx context.Context, t table, name string) (*lockedRow, error) {
	for again := false; ; again = true {
		conn, err := s.edits.Acquire(ctx)
		if err != nil {
			return nil, orContext(ctx, err)
		}
		r := &lockedRow{table: t, name: name, conn: conn}
		if err = r.lock(ctx); err == nil {
			return r, nil
		}
		dead := conn.Conn().IsClosed()
		r.release(ctx)
		if again || !dead || ctx.Err() != nil {
			return nil, orContext(ctx, err)
		}
		s.edits.Reset()
	}
}

func (r *lockedRow) lock(ctx context.Context) (err error) {
	if r.tx, err = r.conn.Begin(ctx); err != nil {
		return err
	}
	// A separate statement: each sees what was committed before it began.
	_, err = r.tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' ' || $1, 0))`, string(r.table)+" "+r.name)
	if err != nil {
		return err
	}
	// FOR UPDATE excludes edits by hand.
	err = r.tx.QueryRow(ctx, `SELECT sealed, version FROM `+string(r.table)+` WHERE name = $1 FOR UPDATE`, r.name).Scan(&r.sealed, &r.version)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return err
}

// write replaces the row, or deletes it if next is nil, and commits.
func (r *lockedRow) write(ctx context.Context, next []byte) (version int64, err error) {
	switch {
	case next == nil:
		_, err = r.tx.Exec(ctx, `DELETE FROM `+string(r.table)+` WHERE name = $1`, r.name)
	case r.sealed == nil:
		err = r.tx.QueryRow(ctx, `INSERT INTO `+string(r.table)+` (name, version, sealed) VALUES ($1, 0, $2) RETURNING version`, r.name, next).Scan(&version)
	default: // not ON CONFLICT DO UPDATE: the trigger would announce two changes
		err = r.tx.QueryRow(ctx, `UPDATE `+string(r.table)+` SET sealed = $2 WHERE name = $1 RETURNING version`, r.name, next).Scan(&version)
	}
	if err != nil {
		return 0, err
	}
	return version, r.tx.Commit(ctx)
}

// release ends the transaction, and with it the lock, and returns the connection.
func (r *lockedRow) release(ctx context.Context) {
	if r.tx != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTime)
		defer cancel()
		// It fails after a commit, and if the connection is lost with the lock.
		_ = r.tx.Rollback(ctx)
	}
	r.conn.Release()
}
