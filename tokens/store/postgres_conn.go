package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"authferry/internal/secret"
)

// connectTime bounds an attempt to connect, unless connect_timeout in the URL does.
const connectTime = 3 * time.Second

// postgresConfig reads a URL. It hides the parser's errors, which may quote the
// password.
func postgresConfig(url secret.String) (*pgxpool.Config, error) {
	text := url.Reveal()
	if !strings.HasPrefix(text, "postgres://") && !strings.HasPrefix(text, "postgresql://") {
		return nil, errors.New("the address of PostgreSQL is not understood: write postgres://USER:PASSWORD@HOST/DATABASE")
	}
	config, err := pgxpool.ParseConfig(text)
	if err != nil {
		return nil, errors.New("the address of PostgreSQL is not understood: write postgres://USER:PASSWORD@HOST/DATABASE, " +
			"with %XX for characters that have a meaning in a URL; psql must accept its parameters and the files that they name")
	}
	// libpq's default, "prefer", sends the password to any server that answers.
	if !strings.Contains(text, "sslmode=") && os.Getenv("PGSSLMODE") == "" && !isLocal(config.ConnConfig) {
		separator := "?"
		if strings.Contains(text, "?") {
			separator = "&"
		}
		if config, err = pgxpool.ParseConfig(text + separator + "sslmode=verify-full"); err != nil {
			return nil, errors.New("the address of PostgreSQL is not understood with sslmode=verify-full added: write sslmode in it")
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

// prepareSession makes PostgreSQL notice a client that went away without closing
// its connection, and release its locks: with TCP's defaults that takes hours. It
// uses a statement because poolers refuse these settings as startup parameters. The
// timeout of an idle transaction is longer than a refresh may take.
func prepareSession(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.PgConn().Exec(ctx, `SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
SET lock_timeout = '1min'; SET idle_in_transaction_session_timeout = '5min'`).ReadAll()
	return err
}

// DescribePostgres returns the database that a URL names, without its password, and
// a warning if its connections are not secure.
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
		warning = "connections to PostgreSQL at " + place + " may be without TLS: write sslmode=verify-full, or leave sslmode out"
	case c.TLSConfig.InsecureSkipVerify && c.TLSConfig.VerifyPeerCertificate == nil && c.TLSConfig.VerifyConnection == nil:
		warning = "the certificate of PostgreSQL at " + place + " is not verified: write sslmode=verify-full, with sslrootcert=PATH for a private CA"
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

// isLocal reports whether all hosts are reached without a network.
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

// orContext returns the error of a context that ended instead of err: the driver's
// error is then about the socket.
func orContext(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return inOneLine(err)
}

// inOneLine joins the lines of an error. The driver writes a line for each address
// that it tried, and repeats it if TLS is optional.
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
