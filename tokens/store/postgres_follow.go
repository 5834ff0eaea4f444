package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash/maphash"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/zap"

	"authferry/internal/printable"
)

const (
	// heartbeat is how often a quiet connection is tried, and heartbeatTime how long the
	// answer may take. Both together pass before authferry notices a machine that went
	// away without closing its connections.
	heartbeat     = 2 * time.Second
	heartbeatTime = 3 * time.Second
	// The back-off between attempts to connect. It is short because Get answers from
	// memory until the connection is back.
	minReconnect = 100 * time.Millisecond
	maxReconnect = time.Second

	// maxKnown bounds the copies of accounts, of about 4 kB each.
	maxKnown = 10000
)

// Follow listens for changes until ctx is done, and keeps the copies up to date that
// [Postgres.Get] returns while the database cannot be reached. It calls changed after
// each change, also by this process, and well whenever the database answers. Both must
// return at once.
func (s *Postgres) Follow(ctx context.Context, well, changed func()) {
	defer s.known.setAway(false)
	outage := s.known.outage
	wait, since := minReconnect, time.Time{} // when the database went away
	for {
		conn, outdated, err := s.listen(ctx)
		switch {
		case err == nil:
			if !since.IsZero() {
				s.log.Info("PostgreSQL answers again", zap.Duration("after", time.Since(since)))
			}
			wait, since = minReconnect, time.Time{}
			changed() // changes before LISTEN were not announced
			err = s.hear(ctx, conn, outdated, well, changed)
			closeConn(ctx, conn)
			if ctx.Err() == nil {
				s.log.Warn("lost the connection that PostgreSQL announces changes on, reconnecting", zap.Error(err))
			}
		case since.IsZero() && ctx.Err() == nil:
			since = time.Now()
			s.log.Error("PostgreSQL does not answer; logins continue from memory while tokens are valid",
				zap.Duration("at most", outage), zap.Error(err))
		}
		select {
		case <-time.After(wait/2 + rand.N(wait/2)):
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, maxReconnect)
	}
}

// listen makes a connection that changes are announced on. It returns the mailboxes that
// changed before, whose copies are outdated.
func (s *Postgres) listen(ctx context.Context) (_ *pgx.Conn, outdated []string, err error) {
	conn, err := pgx.ConnectConfig(ctx, s.config.Copy())
	refused := (*pgconn.PgError)(nil) // a server without room for one more can be queried
	s.known.setAway(err != nil && !errors.As(err, &refused))
	if err != nil {
		return nil, nil, inOneLine(err)
	}
	soon, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	var versions map[string]int64
	if err = prepareSession(soon, conn); err == nil {
		_, err = conn.Exec(soon, `LISTEN authferry`)
	}
	if err == nil {
		versions, err = readVersions(soon, conn, mailboxTable)
	}
	if err != nil {
		closeConn(ctx, conn)
		return nil, nil, err
	}
	return conn, s.known.reset(versions), nil
}

func closeConn(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // it may be lost
}

// hear handles announcements until the connection is lost, and tries it when there
// are none.
func (s *Postgres) hear(ctx context.Context, conn *pgx.Conn, outdated []string, well, changed func()) error {
	well()
	for _, mailbox := range outdated {
		if _, err := s.read(ctx, mailbox); errors.Is(err, errDatabase) {
			break // the next login of each reads it
		}
	}
	for {
		quiet, cancel := context.WithTimeout(ctx, s.heartbeat)
		n, err := conn.WaitForNotification(quiet)
		cancel()
		switch {
		case err == nil:
			s.announced(ctx, n, changed)
		case ctx.Err() != nil || !pgconn.Timeout(err):
			return err
		default:
			soon, cancel := context.WithTimeout(ctx, heartbeatTime)
			err := conn.Ping(soon)
			cancel()
			if err != nil {
				return errors.Join(errors.New("it has not answered for too long"), err)
			}
			s.known.confirm()
		}
		well()
	}
}

// announced reads what the trigger says: a version and a mailbox. An outdated copy
// is replaced at once, since the next login may come when the database is away.
func (s *Postgres) announced(ctx context.Context, n *pgconn.Notification, changed func()) {
	number, mailbox, _ := strings.Cut(n.Payload, " ")
	version, err := strconv.ParseInt(number, 10, 64)
	if err != nil || !isName(mailbox) {
		s.log.Warn("PostgreSQL announced a change that is not understood", zap.String("payload", printable.Quote(n.Payload)))
		return
	}
	changed()
	if s.known.announced(mailbox, version) {
		// If it fails, the next login reads it.
		_, _ = s.read(ctx, mailbox)
	}
}

// lastKnown has a copy of each account that this process read or wrote, for logins
// while the database cannot be reached. An account that is known to have changed is not
// served, because the change may be a revoked password.
type lastKnown struct {
	outage time.Duration

	mu     sync.Mutex
	copies map[string]knownAccount
	// changes counts changes by a hash of the mailbox. A first read that overlaps with
	// a change may have returned the account before it.
	changes [256]int
	seed    maphash.Seed
	// confirmed is when all changes were last known to have been announced.
	confirmed time.Time
	away      bool // the last attempt to connect got no answer
}

type knownAccount struct {
	account *Account          // nil: outdated
	sealed  [sha256.Size]byte // hash of its row
	version int64             // of its row, or that was announced
	at      time.Time         // when it was read or written
}

func (k *lastKnown) setAway(away bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.away = away
}

func (k *lastKnown) isAway() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.away
}

// account returns the copy of an account, nil if there is none or it may have been
// outdated for longer than an outage.
func (k *lastKnown) account(mailbox string) *Account {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.copies[mailbox]
	if c.account == nil || time.Since(c.at) > k.outage && time.Since(k.confirmed) > k.outage {
		return nil
	}
	a := *c.account
	a.Unconfirmed = true
	return &a
}

// opened returns the account of a row that has not changed, nil if it has. Opening a
// row takes longer than reading it.
func (k *lastKnown) opened(mailbox string, sealed []byte) *Account {
	sum := sha256.Sum256(sealed)
	k.mu.Lock()
	defer k.mu.Unlock()
	if c := k.copies[mailbox]; c.sealed == sum {
		return c.account
	}
	return nil
}

// changesOf returns the number to give to keep after a read or an edit.
func (k *lastKnown) changesOf(mailbox string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return *k.counter(mailbox)
}

// counter is called with the lock held.
func (k *lastKnown) counter(mailbox string) *int {
	if k.seed == (maphash.Seed{}) {
		k.seed = maphash.MakeSeed()
	}
	return &k.changes[maphash.String(k.seed, mailbox)%uint64(len(k.changes))]
}

// keep copies an account that was read or written, unless a later version is known.
func (k *lastKnown) keep(mailbox string, a *Account, r row, changes int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	old, ok := k.copies[mailbox]
	if r.version < old.version || !ok && changes != *k.counter(mailbox) {
		return
	}
	if k.copies == nil {
		k.copies = map[string]knownAccount{}
	}
	if !ok && len(k.copies) >= maxKnown {
		for other := range k.copies { // any one: its next login brings it back
			delete(k.copies, other)
			break
		}
	}
	k.copies[mailbox] = knownAccount{a, sha256.Sum256(r.sealed), r.version, time.Now()}
}

// drop forgets an account that was deleted.
func (k *lastKnown) drop(mailbox string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	*k.counter(mailbox)++
	delete(k.copies, mailbox)
}

// announced notes a version of an account, and reports whether its copy is outdated.
func (k *lastKnown) announced(mailbox string, version int64) (outdated bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.confirmed = time.Now()
	*k.counter(mailbox)++
	c, ok := k.copies[mailbox]
	if !ok || c.version >= version {
		return false
	}
	k.copies[mailbox] = knownAccount{version: version}
	return true
}

// confirm notes that all changes until now have been announced.
func (k *lastKnown) confirm() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.confirmed = time.Now()
}

// reset compares the copies with the versions that were read after LISTEN, and returns
// the mailboxes whose copies are outdated.
func (k *lastKnown) reset(versions map[string]int64) (outdated []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.confirmed = time.Now()
	for i := range k.changes {
		k.changes[i]++
	}
	for mailbox, c := range k.copies {
		version, ok := versions[mailbox]
		switch {
		case !ok:
			delete(k.copies, mailbox)
		case c.version != version:
			k.copies[mailbox] = knownAccount{version: version}
			outdated = append(outdated, mailbox)
		}
	}
	return outdated
}
