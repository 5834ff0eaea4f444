//go:build postgres

package store

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"authferry/internal/secret"
)

const postgresEnv = "TEST_POSTGRES"

// freshPostgres returns the URL of an empty schema in the database of the tests.
func freshPostgres(t testing.TB) string {
	t.Helper()
	url := os.Getenv(postgresEnv)
	if url == "" {
		t.Fatal(postgresEnv + " does not name a PostgreSQL server, as postgres://USER@HOST/DATABASE; .ci/postgres starts one")
	}
	schema := strings.ToLower("t" + rand.Text())
	ask(t, url, `CREATE SCHEMA `+schema)
	t.Cleanup(func() { ask(t, url, `DROP SCHEMA `+schema+` CASCADE`) })
	separator := "?"
	if strings.Contains(url, "?") {
		separator = "&"
	}
	return url + separator + "search_path=" + schema
}

// ask runs a statement on its own connection.
func ask(t testing.TB, url, sql string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

func openPostgres(t testing.TB, url string, seal *Seal) *Postgres {
	t.Helper()
	s, err := OpenPostgres(context.Background(), PostgresOptions{URL: secret.String(url), Seal: seal})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// follow runs Follow until the test ends, and returns once it listens.
func follow(t testing.TB, s *Postgres) (changes <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done, news := make(chan struct{}), make(chan struct{}, 1000)
	go func() {
		defer close(done)
		s.Follow(ctx, func() {}, func() { news <- struct{}{} })
	}()
	t.Cleanup(func() { cancel(); <-done })
	<-news // the first call, after LISTEN
	return news
}

func TestPostgresStore(t *testing.T) {
	testStore(t, func(t *testing.T) (Store, Store) {
		url, seal := freshPostgres(t), newSeal(t)
		return openPostgres(t, url, seal), openPostgres(t, url, seal)
	})
}

// TestPostgresStoreFollowed: the same contract while the stores keep copies up to date.
func TestPostgresStoreFollowed(t *testing.T) {
	testStore(t, func(t *testing.T) (Store, Store) {
		url, seal := freshPostgres(t), newSeal(t)
		a, b := openPostgres(t, url, seal), openPostgres(t, url, seal)
		follow(t, a)
		follow(t, b)
		return a, b
	})
}

func TestPostgresCopy(t *testing.T) {
	testCopy(t, openPostgres(t, freshPostgres(t), newSeal(t)))
}

// TestPostgresChanges: Get returns an account as last written by another process, by
// hand or by this process, before the change is announced; and each change is
// announced once.
func TestPostgresChanges(t *testing.T) {
	ctx := context.Background()
	url, seal := freshPostgres(t), newSeal(t)
	a, b := openPostgres(t, url, seal), openPostgres(t, url, seal)
	put(t, a, wholeAccount(me))
	changes := follow(t, b)
	want := func(provider string) {
		t.Helper()
		for range 2 {
			if got, err := b.Get(ctx, me); err != nil || got.Provider != provider || got.Unconfirmed {
				t.Errorf("%v, %v; want %s", got, err, provider)
			}
		}
	}
	want("gmail")
	for _, provider := range []string{"other", "third"} {
		put(t, a, &Account{Mailbox: me, Provider: provider})
		want(provider)
		<-changes
	}
	put(t, b, &Account{Mailbox: me, Provider: "own"})
	want("own")
	put(t, a, wholeAccount("later@x"))
	<-changes
	<-changes
	ask(t, url, `DELETE FROM authferry_mailboxes`)
	if got, err := b.Get(ctx, me); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("deleted: %v, %v", got, err)
	}
	<-changes // of the first row
	<-changes
	if len(changes) > 0 {
		t.Errorf("%d more changes announced than made", len(changes))
	}
}

// TestPostgresCopiesBounded: the copies for an outage do not fill the memory.
func TestPostgresCopiesBounded(t *testing.T) {
	k := lastKnown{outage: time.Hour}
	for i := range 2 * maxKnown {
		mailbox := strconv.Itoa(i)
		k.keep(mailbox, &Account{Mailbox: mailbox}, row{[]byte(mailbox), 1}, k.changesOf(mailbox))
	}
	if n := len(k.copies); n != maxKnown {
		t.Errorf("%d copies, at most %d", n, maxKnown)
	}
	last := strconv.Itoa(2*maxKnown - 1)
	if a := k.account(last); a == nil || a.Mailbox != last || !a.Unconfirmed {
		t.Errorf("the latest: %v", a)
	}
}

// TestPostgresOverlappingRead: a read that overlaps with a change may return the account
// before it, which is not kept as a copy; one that returns the account after it is.
func TestPostgresOverlappingRead(t *testing.T) {
	old, changed := row{[]byte("old"), 1}, row{[]byte("changed"), 2}
	for name, change := range map[string]func(*lastKnown){
		"announced":  func(k *lastKnown) { k.announced(me, 2) },
		"written":    func(k *lastKnown) { k.keep(me, &Account{SignIn: "changed"}, changed, k.changesOf(me)) },
		"deleted":    func(k *lastKnown) { k.drop(me) },
		"reconnects": func(k *lastKnown) { k.reset(map[string]int64{me: 2}) },
	} {
		for _, known := range []bool{false, true} {
			k := lastKnown{outage: time.Hour}
			if known {
				k.keep(me, &Account{SignIn: "old"}, old, k.changesOf(me))
			}
			changes := k.changesOf(me)
			change(&k)
			k.keep(me, &Account{SignIn: "old"}, old, changes)
			if a := k.account(me); a != nil && a.SignIn == "old" {
				t.Errorf("%s, known %v: the account before the change is kept", name, known)
			}
			k.keep(me, &Account{SignIn: "changed"}, changed, k.changesOf(me))
			if a := k.account(me); a == nil || a.SignIn != "changed" {
				t.Errorf("%s, known %v: the account after the change is not kept", name, known)
			}
		}
	}
}

// TestPostgresSchema: tables of a newer program and another seal are refused; a new key
// in front of the old one is accepted.
func TestPostgresSchema(t *testing.T) {
	url, seal := freshPostgres(t), newSeal(t)
	open := func(seal *Seal) error {
		s, err := OpenPostgres(context.Background(), PostgresOptions{URL: secret.String(url), Seal: seal})
		if err == nil {
			s.Close()
		}
		return err
	}
	many := make(chan error)
	for range 4 {
		go func() { many <- open(seal) }()
	}
	for range 4 {
		if err := <-many; err != nil {
			t.Errorf("made by several at once: %v", err)
		}
	}
	other := newSeal(t)
	if err := open(other); !errors.Is(err, errOtherKey) && (err == nil || !strings.Contains(err.Error(), "another key")) {
		t.Errorf("another key: %v", err)
	}
	both := &Seal{recipient: other.recipient, identities: []age.Identity{other.identities[0], seal.identities[0]}, source: "here"}
	for _, s := range []*Seal{both, both, other} {
		if err := open(s); err != nil {
			t.Errorf("a new key: %v", err)
		}
	}
	if err := open(seal); err == nil {
		t.Error("the old key is still accepted")
	}
	ask(t, url, `UPDATE authferry_schema SET version = version + 1`)
	if err := open(other); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("tables of a newer program: %v", err)
	}
}

// TestPostgresDamage: a row that cannot be read is an error of its mailbox alone, is not
// overwritten, and can be deleted.
func TestPostgresDamage(t *testing.T) {
	url := freshPostgres(t)
	s := openPostgres(t, url, newSeal(t))
	put(t, s, wholeAccount("other@gmail.com"))
	for name, sql := range map[string]string{
		"damaged": `INSERT INTO authferry_mailboxes VALUES ('me@gmail.com', 0, 'x')`,
		"holds":   `INSERT INTO authferry_mailboxes SELECT 'me@gmail.com', 0, sealed FROM authferry_mailboxes`,
	} {
		ask(t, url, sql)
		if _, err := s.Get(context.Background(), me); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: Get: %v", name, err)
		}
		err := s.Update(context.Background(), me, func(*Account) error { return nil })
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: Update: %v", name, err)
		}
		if err := s.Delete(context.Background(), me); err != nil {
			t.Error(err)
		}
	}
}

// TestPostgresManyEdits: more edits at a time than connections wait for each other, as
// long as their contexts allow.
func TestPostgresManyEdits(t *testing.T) {
	s := openPostgres(t, freshPostgres(t)+"&pool_max_conns=2", newSeal(t))
	holding, release, done := make(chan struct{}), make(chan struct{}), make(chan error)
	for _, mailbox := range []string{"a@x", "b@x"} {
		go func() {
			done <- s.Update(context.Background(), mailbox, func(*Account) error {
				holding <- struct{}{}
				<-release
				return nil
			})
		}()
		<-holding
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	err := s.Update(ctx, "c@x", func(*Account) error { return nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("not the context's error: %v", err)
	}
	if _, err := s.Get(context.Background(), "a@x"); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("reading waits for edits: %v", err)
	}
	close(release)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestPostgresFullDisk: an error of the server is returned as it is, and changes nothing.
func TestPostgresFullDisk(t *testing.T) {
	url := freshPostgres(t)
	s := openPostgres(t, url, newSeal(t))
	put(t, s, wholeAccount(me))
	ask(t, url, `CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no space left on device' USING ERRCODE = '53100'; END $$`)
	ask(t, url, `CREATE CONSTRAINT TRIGGER full_disk AFTER UPDATE OR DELETE ON authferry_mailboxes DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION full_disk()`)
	err := s.Update(context.Background(), me, func(a *Account) error { a.Token.Refresh = "new"; return nil })
	if e := (*pgconn.PgError)(nil); !errors.As(err, &e) || e.Code != "53100" {
		t.Errorf("%v", err)
	}
	got, err := s.Get(context.Background(), me)
	if err != nil {
		t.Fatal(err)
	}
	sameAccount(t, got, wholeAccount(me))
	ask(t, url, `DROP TRIGGER full_disk ON authferry_mailboxes`)
	put(t, s, &Account{Mailbox: me, Provider: "after"})
}
