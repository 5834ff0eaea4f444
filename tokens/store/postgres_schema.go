package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// migrations bring the tables from one version to the next. Do not change those that
// were released. Servers of the version before may use the result while machines are
// updated one by one.
//
// Versions of rows come from one sequence, so that they grow even if a mailbox is
// removed and added again. A trigger sets them and announces the change, so that a
// change by hand is noticed too.
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

// migrateTime bounds opening, including the migrations of another process.
const migrateTime = 30 * time.Second

// keyCheck is sealed in the database, so that a server with another key is refused
// even before there is a mailbox.
const keyCheck = "key-check"

// migrate creates or updates the tables, one process at a time, and checks the seal.
// It does not write to a database that is up to date.
func migrate(ctx context.Context, config *pgx.ConnConfig, seal *Seal) error {
	ctx, cancel := context.WithTimeout(ctx, migrateTime)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, config.Copy())
	if err != nil {
		return inOneLine(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' authferry_schema', 0))`); err != nil {
			return err
		}
		version, check, err := readSchema(ctx, tx)
		if err != nil {
			return err
		}
		if version > len(migrations) {
			return fmt.Errorf("its tables have version %d and this program knows version %d: use the program that created them, or a newer one", version, len(migrations))
		}
		for ; version < len(migrations); version++ {
			if err := create(ctx, tx, migrations[version]); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `UPDATE authferry_schema SET version = $1`, version+1); err != nil {
				return err
			}
		}
		return checkKey(ctx, tx, seal, check)
	})
}

func create(ctx context.Context, tx pgx.Tx, statements string) error {
	if _, err := tx.Conn().PgConn().Exec(ctx, statements).ReadAll(); err != nil {
		return fmt.Errorf("creating the tables: %w; the database user needs the right to create them, once", err)
	}
	return nil
}

// readSchema returns the version of the tables, 0 for none, and the key check.
func readSchema(ctx context.Context, tx pgx.Tx) (version int, check []byte, err error) {
	var exists bool
	if err := tx.QueryRow(ctx, `SELECT to_regclass('authferry_schema') IS NOT NULL`).Scan(&exists); err != nil {
		return 0, nil, err
	}
	if !exists {
		err := create(ctx, tx, `CREATE TABLE authferry_schema (version integer NOT NULL, key_check bytea);
			INSERT INTO authferry_schema VALUES (0, NULL)`)
		if err != nil {
			return 0, nil, err
		}
	}
	err = tx.QueryRow(ctx, `SELECT version, key_check FROM authferry_schema`).Scan(&version, &check)
	return version, check, err
}

// checkKey refuses a seal other than that of the other servers. If a new key was put
// in front of an old one, it seals the check again.
func checkKey(ctx context.Context, tx pgx.Tx, seal *Seal, check []byte) error {
	if check != nil {
		if _, err := seal.openDocument(keyCheck, check); errors.Is(err, errOtherKey) {
			return fmt.Errorf("it is sealed with another key than the one in %s: every server of a database needs the same seal key", seal.source)
		} else if err != nil {
			return err
		}
		first := &Seal{recipient: seal.recipient, identities: seal.identities[:1], source: seal.source}
		if _, err := first.openDocument(keyCheck, check); err == nil {
			return nil
		}
	}
	check, err := seal.closeDocument(keyCheck, nil)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE authferry_schema SET key_check = $1`, check)
	return err
}
