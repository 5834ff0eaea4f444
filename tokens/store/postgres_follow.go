package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/zap"

	"authferry/internal/printable"
)

const (
	// heartbeat is how often the link is tried when it is quiet, and beatTime how
	// long an answer may take: a machine that went away without a word is noticed
	// after both.
	heartbeat = 2 * time.Second
	beatTime  = 3 * time.Second
	// The back-off while the database is away. Asking costs it little, and a
	// server that hears late that it is back lets logins fail.
	leastReconnect = 100 * time.Millisecond
	mostReconnect  = time.Second
)

// Follow keeps memory up with what other processes write; see follower. What is
// in memory and has changed is read at once: the next to ask may come when the
// database is away, and what is known to have changed is not served then.
func (s *Postgres) Follow(ctx context.Context, well, changed func()) {
	defer s.cache.lose(linkNone)
	freshen, end := Worker(ctx, 0, func() { s.freshen(ctx) })
	defer end()
	wait, since := leastReconnect, time.Time{}
	for ctx.Err() == nil {
		attended, err := s.follow(ctx, func() {
			if !since.IsZero() {
				s.log.Info("PostgreSQL answers again", zap.Duration("after", time.Since(since)))
			}
			since = time.Time{}
			freshen()
			changed() // who knows
		}, well, func() {
			freshen()
			changed()
		})
		if ctx.Err() != nil {
			return
		}
		if attended {
			wait, since = leastReconnect, time.Time{} // a change meanwhile is to be seen soon
			s.cache.lose(linkNone)
			s.log.Warn("the connection that tells of changes in PostgreSQL was lost; making another", zap.Error(err))
		} else if since.IsZero() {
			since = time.Now()
			s.log.Error("PostgreSQL does not answer; logins go on from memory while tokens last",
				zap.Duration("at most", s.cache.outage), zap.Error(err))
		}
		select {
		case <-time.After(wait/2 + rand.N(wait/2)):
		case <-ctx.Done():
		}
		wait = min(2*wait, mostReconnect)
	}
}

// freshen reads what is in memory and has changed. What cannot be read now is
// read when it is asked for.
func (s *Postgres) freshen(ctx context.Context) {
	for _, mailbox := range s.cache.outdated() {
		if _, err := s.read(ctx, mailbox); errors.Is(err, errDatabase) {
			return
		}
	}
}

// follow makes one connection, and hears what it tells until it is lost.
// attended tells whether it came so far.
func (s *Postgres) follow(ctx context.Context, back, well, changed func()) (attended bool, err error) {
	conn, err := pgx.ConnectConfig(ctx, s.config.Copy())
	if err != nil {
		s.cache.lose(linkAway)
		return false, inOneLine(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx) // it may be lost
	}()
	if err := s.listen(ctx, conn); err != nil {
		s.cache.lose(linkNone)
		return false, err
	}
	back()
	for {
		well()
		if err := s.hear(ctx, conn, changed); err != nil {
			return true, err
		}
	}
}

// listen asks to be told of changes, and then looks what has changed before.
func (s *Postgres) listen(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	if err := prepareSession(ctx, conn); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `LISTEN authferry`); err != nil {
		return err
	}
	versions, err := allVersions(ctx, conn, mailboxShelf)
	if err != nil {
		return err
	}
	s.cache.attend(versions)
	return nil
}

// hear waits for one change, or tries the connection when there is none.
func (s *Postgres) hear(ctx context.Context, conn *pgx.Conn, changed func()) error {
	quiet, cancel := context.WithTimeout(ctx, s.heartbeat)
	defer cancel()
	told, err := conn.WaitForNotification(quiet)
	switch {
	case err == nil:
		if s.told(told) {
			changed()
		}
		return nil
	case ctx.Err() != nil || !pgconn.Timeout(err):
		return err
	}
	soon, stop := context.WithTimeout(ctx, beatTime)
	defer stop()
	if err := conn.Ping(soon); err != nil {
		return errors.Join(errors.New("it has not answered for too long"), err)
	}
	s.cache.beat()
	return nil
}

// told reads what the trigger says: a version and a name.
func (s *Postgres) told(n *pgconn.Notification) (news bool) {
	version, mailbox, _ := strings.Cut(n.Payload, " ")
	v, err := strconv.ParseInt(version, 10, 64)
	if err != nil || !isName(mailbox) {
		s.log.Warn("PostgreSQL told of a change that is not understood", zap.String("payload", printable.Quote(n.Payload)))
		return false
	}
	return s.cache.changed(mailbox, v)
}
