package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"authferry/internal/secret"
)

const (
	// DefaultOutage is how long logins go on from memory while PostgreSQL is
	// away; see [PostgresOptions].
	DefaultOutage = 15 * time.Minute

	// mostEdits is how many mailboxes one process edits at a time: each takes a
	// connection for as long as its provider takes to refresh a token.
	// pool_max_conns in the URL says otherwise.
	mostEdits = 10
	// mostReads come beside them, so that reading does not wait for providers.
	mostReads = 4
	// connectTime bounds the making of a connection, unless connect_timeout in
	// the URL does.
	connectTime = 3 * time.Second
	// readTime bounds a read, connecting included; callers who are in more of a
	// hurry say so by their contexts.
	readTime = 5 * time.Second
	// writeTime is how long a write is tried: a fail-over takes seconds, and what
	// is written may be a token that exists nowhere else.
	writeTime = 10 * time.Second
	// writePause comes between two attempts of it.
	writePause = 200 * time.Millisecond
)

// sessionSettings make PostgreSQL notice a machine that went away without a
// word, and free what it had locked: TCP alone takes hours for that. They
// are set by a statement because poolers refuse them as startup parameters. The
// time of an idle transaction is longer than any token may take to come.
const sessionSettings = `SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
SET lock_timeout = '1min'; SET idle_in_transaction_session_timeout = '5min'`

// PostgresStore keeps each account in a sealed row of a table, for any number
// of processes on any number of machines.
//
// An edit holds an advisory lock of its transaction, on a connection of its
// own, for as long as it takes: it is gone with the transaction, the
// connection, or the machine at its other end. (A lock of the row would not
// exclude two who add a mailbox.)
//
// While [PostgresStore.Follow] is at work, accounts are answered for from
// memory: PostgreSQL tells of every change.
type Postgres struct {
	seal         *Seal
	log          *zap.Logger
	config       *pgx.ConnConfig
	edits, reads *pgxpool.Pool
	locks        keyLocks
	cache        accountCache
	heartbeat    time.Duration
	writeTime    time.Duration
}

// PostgresOptions say which database, and how.
type PostgresOptions struct {
	URL  secret.String // postgres://USER:PASSWORD@HOST/DATABASE
	Seal *Seal         // the same for every process
	// Outage is how long an account is answered for from memory while the
	// database cannot be reached: so long do logins with good tokens go on, and
	// so long does a server that is cut off let a password in that was revoked
	// meanwhile. 0: DefaultOutage.
	Outage time.Duration
	Log    *zap.Logger
}

var _ Store = (*Postgres)(nil)

// OpenPostgresStore connects to a database, and brings its tables up to date.
func OpenPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	config, err := postgresConfig(o.URL)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	s := &Postgres{seal: o.Seal, log: o.Log, config: config.ConnConfig, heartbeat: heartbeat, writeTime: writeTime}
	s.cache.outage = cmp.Or(o.Outage, DefaultOutage)
	if err := s.migrate(ctx); err != nil {
		return nil, fmt.Errorf("opening the store in PostgreSQL at %s: %w", placeOf(config.ConnConfig), err)
	}
	config.MaxConnIdleTime = 5 * time.Minute
	reads := config.Copy()
	reads.MaxConns = mostReads
	if !strings.Contains(o.URL.Reveal(), "pool_max_conns=") {
		config.MaxConns = mostEdits
	}
	// Neither connects before it is used.
	if s.edits, err = pgxpool.NewWithConfig(context.Background(), config); err != nil {
		return nil, err
	}
	if s.reads, err = pgxpool.NewWithConfig(context.Background(), reads); err != nil {
		s.edits.Close()
		return nil, err
	}
	return s, nil
}

// Close ends the connections, and waits for edits under way.
func (s *Postgres) Close() error {
	s.edits.Close()
	s.reads.Close()
	return nil
}

// postgresConfig reads a URL. The parser's errors stay here: they may have
// the password in them.
func postgresConfig(url secret.String) (*pgxpool.Config, error) {
	text := url.Reveal()
	if !strings.HasPrefix(text, "postgres://") && !strings.HasPrefix(text, "postgresql://") {
		return nil, errors.New("the address of PostgreSQL is not understood: write postgres://USER:PASSWORD@HOST/DATABASE")
	}
	config, err := pgxpool.ParseConfig(text)
	if err != nil {
		return nil, errors.New("the address of PostgreSQL is not understood: write postgres://USER:PASSWORD@HOST/DATABASE, " +
			"with %XX for what has a meaning in a URL, and see that its parameters, and the files they name, are as psql knows them")
	}
	// libpq's own default, "prefer", gives the password to whoever answers.
	if !strings.Contains(text, "sslmode=") && os.Getenv("PGSSLMODE") == "" && !isLocal(config.ConnConfig) {
		separator := "?"
		if strings.Contains(text, "?") {
			separator = "&"
		}
		if config, err = pgxpool.ParseConfig(text + separator + "sslmode=verify-full"); err != nil {
			return nil, errors.New("the address of PostgreSQL is not understood with sslmode=verify-full, which it has to say itself")
		}
	}
	if !strings.Contains(text, "connect_timeout=") && os.Getenv("PGCONNECT_TIMEOUT") == "" {
		config.ConnConfig.ConnectTimeout = connectTime
	}
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "authferry"
	}
	config.AfterConnect = prepareSession
	return config, nil
}

func prepareSession(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.PgConn().Exec(ctx, sessionSettings).ReadAll()
	return err
}

// DescribePostgres says which database a URL names, without its password, and
// what is doubtful about it.
func DescribePostgres(url secret.String) (place, warning string, err error) {
	config, err := postgresConfig(url)
	if err != nil {
		return "", "", err
	}
	c := config.ConnConfig
	place = placeOf(c)
	if isLocal(c) {
		return place, "", nil
	}
	plain := c.TLSConfig == nil
	for _, f := range c.Fallbacks {
		plain = plain || f.TLSConfig == nil
	}
	switch {
	case plain:
		warning = "PostgreSQL at " + place + " may be spoken to without TLS: write sslmode=verify-full, or leave sslmode out"
	case c.TLSConfig.InsecureSkipVerify && c.TLSConfig.VerifyPeerCertificate == nil && c.TLSConfig.VerifyConnection == nil:
		warning = "PostgreSQL at " + place + " is not made to prove who it is: write sslmode=verify-full, with sslrootcert=PATH for a CA of your own"
	}
	return place, warning, nil
}

func placeOf(c *pgx.ConnConfig) string {
	host := c.Host
	if !strings.HasPrefix(host, "/") {
		host = fmt.Sprintf("%s:%d", host, c.Port)
	}
	return fmt.Sprintf("postgres://%s@%s/%s", c.User, host, c.Database)
}

// isLocal tells a database that is reached without a network.
func isLocal(c *pgx.ConnConfig) bool {
	hosts := []string{c.Host}
	for _, f := range c.Fallbacks {
		hosts = append(hosts, f.Host)
	}
	for _, host := range hosts {
		ip, err := netip.ParseAddr(host)
		if !strings.HasPrefix(host, "/") && host != "localhost" && (err != nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}

// Usable is part of [Store].
func (s *Postgres) Usable(ctx context.Context) error {
	_, err := s.Mailboxes(ctx)
	return err
}
