package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// migrations bring the tables from one version to the next. What has been
// released is not changed any more; servers of the version before may be at
// work on the result while machines are brought up to date one by one.
//
// Versions of rows come from one sequence, so that they only ever grow, also
// where a mailbox is removed and added again. A trigger sets them and tells of
// the change, so that one made by hand is seen too.
var migrations = []string{`
CREATE SEQUENCE authferry_version;
CREATE TABLE authferry_mailboxes (name text PRIMARY KEY, version bigint NOT NULL, sealed bytea NOT NULL);
CREATE TABLE authferry_documents (name text PRIMARY KEY, version bigint NOT NULL, sealed bytea NOT NULL);
CREATE FUNCTION authferry_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	v bigint := nextval(TG_TABLE_SCHEMA || '.authferry_version');
	n text := COALESCE(NEW.name, OLD.name);
BEGIN
	IF TG_TABLE_NAME = 'authferry_mailboxes' THEN
		PERFORM pg_notify('authferry', v || ' ' || n);
	END IF;
	IF TG_OP = 'DELETE' THEN
		RETURN OLD;
	END IF;
	NEW.version := v;
	RETURN NEW;
END $$;
CREATE TRIGGER authferry_changed BEFORE INSERT OR UPDATE OR DELETE ON authferry_mailboxes FOR EACH ROW EXECUTE FUNCTION authferry_changed();
CREATE TRIGGER authferry_changed BEFORE INSERT OR UPDATE OR DELETE ON authferry_documents FOR EACH ROW EXECUTE FUNCTION authferry_changed();
`}

// migrateTime bounds opening: long enough for another process's migrations.
const migrateTime = 30 * time.Second

// keyCheck is sealed in the database, so that a server with another key is
// refused even where there is no mailbox yet.
const keyCheck = "key-check"

// migrate makes or updates the tables, one process at a time, and checks the
// seal. A database that is as it should be is not written to.
func (s *Postgres) migrate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, migrateTime)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, s.config.Copy())
	if err != nil {
		return inOneLine(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' authferry_schema', 0))`); err != nil {
			return err
		}
		version, sealed, err := schemaOf(ctx, tx)
		if err != nil {
			return err
		}
		if version > len(migrations) {
			return fmt.Errorf("its tables are of version %d and this program knows version %d: use the program that made them, or a newer one", version, len(migrations))
		}
		for ; version < len(migrations); version++ {
			if _, err := tx.Conn().PgConn().Exec(ctx, migrations[version]).ReadAll(); err != nil {
				return fmt.Errorf("making the tables: %w; the user needs the right to create them, once", err)
			}
			if _, err := tx.Exec(ctx, `UPDATE authferry_schema SET version = $1`, version+1); err != nil {
				return err
			}
		}
		return s.checkKey(ctx, tx, sealed)
	})
}

// schemaOf reads the version of the tables, 0 for none, and the key check.
func schemaOf(ctx context.Context, tx pgx.Tx) (version int, sealed []byte, err error) {
	var there bool
	if err := tx.QueryRow(ctx, `SELECT to_regclass('authferry_schema') IS NOT NULL`).Scan(&there); err != nil {
		return 0, nil, err
	}
	if !there {
		_, err := tx.Conn().PgConn().Exec(ctx, `CREATE TABLE authferry_schema (version integer NOT NULL, key_check bytea);
			INSERT INTO authferry_schema VALUES (0, NULL)`).ReadAll()
		if err != nil {
			return 0, nil, fmt.Errorf("making the tables: %w; the user needs the right to create them, once", err)
		}
	}
	err = tx.QueryRow(ctx, `SELECT version, key_check FROM authferry_schema`).Scan(&version, &sealed)
	return version, sealed, err
}

// checkKey refuses a seal that is not that of the others. Where a new key was
// put in front of an old one, the check is sealed anew.
func (s *Postgres) checkKey(ctx context.Context, tx pgx.Tx, sealed []byte) error {
	if sealed != nil {
		if _, err := s.seal.openDocument(keyCheck, sealed); errors.Is(err, errOtherKey) {
			return fmt.Errorf("it is sealed with another key than the one in %s: every server of a database needs the same seal key", s.seal.source)
		} else if err != nil {
			return err
		}
		first := &Seal{recipient: s.seal.recipient, identities: s.seal.identities[:1], source: s.seal.source}
		if _, err := first.openDocument(keyCheck, sealed); err == nil {
			return nil
		}
	}
	sealed, err := s.seal.closeDocument(keyCheck, nil)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE authferry_schema SET key_check = $1`, sealed)
	return err
}
