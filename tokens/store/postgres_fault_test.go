//go:build postgres

package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// wire is a network between a store and its database whose connections can be cut.
type wire struct {
	net.Listener
	server string
	url    string

	mu    sync.Mutex
	conns map[net.Conn]bool
	down  bool
	// cutAt cuts a connection when the client sends it: before the server receives it,
	// or after the server handled it, so that the client does not get the answer.
	cutAt     []byte
	cutBefore bool
	all       sync.WaitGroup
}

// newWire puts a wire in front of the database of a URL.
func newWire(t *testing.T, to string) *wire {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: ln, server: u.Host, conns: map[net.Conn]bool{}}
	u.Host = ln.Addr().String()
	q := u.Query()
	q.Set("sslmode", "disable")
	u.RawQuery = q.Encode()
	w.url = u.String()
	w.all.Go(w.serve)
	t.Cleanup(func() { ln.Close(); w.cut(); w.all.Wait() })
	return w
}

func (w *wire) serve() {
	for {
		client, err := w.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.server)
		w.mu.Lock()
		if err != nil || w.down {
			client.Close()
			if err == nil {
				server.Close()
			}
			w.mu.Unlock()
			continue
		}
		w.conns[client], w.conns[server] = true, true
		w.mu.Unlock()
		w.all.Go(func() { w.carry(client, server) })
		w.all.Go(func() { io.Copy(client, server); client.Close(); server.Close() })
	}
}

// carry forwards what the client sends to the server.
func (w *wire) carry(client, server net.Conn) {
	defer client.Close()
	defer server.Close()
	b := make([]byte, 1<<16)
	for {
		n, err := client.Read(b)
		if err != nil {
			return
		}
		w.mu.Lock()
		cut := w.cutAt != nil && bytes.Contains(b[:n], w.cutAt)
		before := w.cutBefore
		if cut {
			w.cutAt = nil
		}
		w.mu.Unlock()
		if cut && before {
			return
		}
		if cut {
			client.Close() // it does not get the answer
		}
		if _, err := server.Write(b[:n]); err != nil {
			return
		}
		if cut {
			// The server closes when it has handled everything.
			server.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, server)
			return
		}
	}
}

// cut ends all connections, like a server that restarts.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.Close()
	}
	clear(w.conns)
}

func (w *wire) setDown(down bool) {
	w.mu.Lock()
	w.down = down
	w.mu.Unlock()
	if down {
		w.cut()
	}
}

func (w *wire) cutWhen(says string, before bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cutAt, w.cutBefore = []byte(says), before
}

// wasCut reports whether the client said what a connection was to be cut at.
func (w *wire) wasCut() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cutAt == nil
}

// TestPostgresCutWrites: a connection that is lost during an edit, at any moment, loses
// neither this edit nor another one.
func TestPostgresCutWrites(t *testing.T) {
	ctx := context.Background()
	for name, during := range map[string]func(*wire, Store){
		"in the edit":                 func(w *wire, _ Store) { w.cut() },
		"at the write":                func(w *wire, _ Store) { w.cutWhen("UPDATE authferry", true) },
		"before the commit":           func(w *wire, _ Store) { w.cutWhen("commit", true) },
		"at the answer to the commit": func(w *wire, _ Store) { w.cutWhen("commit", false) },
		"and another edits meanwhile": func(w *wire, direct Store) {
			w.cut()
			err := direct.Update(ctx, me, func(a *Account) error { a.SignIn = "another"; return nil })
			if err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			url, seal := freshPostgres(t), newSeal(t)
			direct := openPostgres(t, url, seal)
			w := newWire(t, url)
			s := openPostgres(t, w.url, seal)
			put(t, direct, wholeAccount(me))
			edits := 0
			err := s.Update(ctx, me, func(a *Account) error {
				edits++
				during(w, direct)
				a.Token.Refresh = "the only copy"
				return nil
			})
			got, gerr := direct.Get(ctx, me)
			if gerr != nil {
				t.Fatal(gerr)
			}
			lost := name == "and another edits meanwhile"
			if lost && (err == nil || got.SignIn != "another" || got.Token.Refresh == "the only copy") {
				t.Errorf("wrote over another's edit: %v, %q", err, got.SignIn)
			}
			if !lost && (err != nil || got.Token.Refresh != "the only copy") {
				t.Errorf("the edit is lost: %v", err)
			}
			if edits != 1 || !w.wasCut() {
				t.Errorf("edited %d times, cut: %v", edits, w.wasCut())
			}
			put(t, s, wholeAccount(me)) // the lock is free
			if err := s.Delete(ctx, me); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPostgresCutDelete: a deletion is complete even if its answer is lost.
func TestPostgresCutDelete(t *testing.T) {
	url, seal := freshPostgres(t), newSeal(t)
	w := newWire(t, url)
	s := openPostgres(t, w.url, seal)
	for _, before := range []bool{true, false} {
		put(t, s, wholeAccount(me))
		w.cutWhen("commit", before)
		if err := s.Delete(context.Background(), me); err != nil || !w.wasCut() {
			t.Errorf("before the server hears of it %v: %v", before, err)
		}
		if _, err := s.Get(context.Background(), me); !errors.Is(err, ErrNoMailbox) {
			t.Errorf("before the server hears of it %v: %v", before, err)
		}
	}
}

// TestPostgresDeadHolder: the lock of a process that has ended is free.
func TestPostgresDeadHolder(t *testing.T) {
	url, seal := freshPostgres(t), newSeal(t)
	w := newWire(t, url)
	dying, other := openPostgres(t, w.url, seal), openPostgres(t, url, seal)
	died := errors.New("died")
	err := dying.Update(context.Background(), me, func(*Account) error {
		w.setDown(true)
		put(t, other, wholeAccount(me)) // waits for the server to notice
		return died
	})
	if !errors.Is(err, died) {
		t.Error(err)
	}
}

// TestPostgresAway: while the database is away, Get answers from memory for a bounded
// time; when it is back, accounts are as last written.
func TestPostgresAway(t *testing.T) {
	ctx := context.Background()
	url, seal := freshPostgres(t), newSeal(t)
	direct := openPostgres(t, url, seal)
	put(t, direct, wholeAccount(me))
	put(t, direct, wholeAccount("gone@x"))
	w := newWire(t, url)
	s := openPostgres(t, w.url, seal)
	changes := follow(t, s)
	for _, mailbox := range []string{me, "gone@x"} {
		if _, err := s.Get(ctx, mailbox); err != nil {
			t.Fatal(err)
		}
	}
	w.setDown(true)
	for range 3 {
		if a, err := s.Get(ctx, me); err != nil || !a.Unconfirmed {
			t.Errorf("not from memory: %v", err)
		}
	}
	for _, stranger := range []string{"nobody@x", "a\x00b"} {
		_, err := s.Get(ctx, stranger)
		if errors.Is(err, ErrNoMailbox) != (stranger != "nobody@x") {
			t.Errorf("%q, without a database: %v", stranger, err)
		}
	}
	if err := s.Update(ctx, me, func(*Account) error { return nil }); err == nil {
		t.Error("edited without a database")
	}
	setOutage(s, -1)
	if _, err := s.Get(ctx, me); err == nil || errors.Is(err, ErrNoMailbox) {
		t.Errorf("for ever: %v", err)
	}
	setOutage(s, time.Hour)
	put(t, direct, &Account{Mailbox: me, Provider: "after"})
	if err := direct.Delete(ctx, "gone@x"); err != nil {
		t.Fatal(err)
	}
	w.setDown(false)
	<-changes
	if a, err := s.Get(ctx, me); err != nil || a.Provider != "after" || a.Unconfirmed {
		t.Errorf("a change while it was away is not seen: %v", err)
	}
	if _, err := s.Get(ctx, "gone@x"); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("a removal while it was away is not seen: %v", err)
	}
}

func setOutage(s *Postgres, outage time.Duration) {
	s.known.mu.Lock()
	defer s.known.mu.Unlock()
	s.known.outage = outage
}

// TestPostgresCannotListen: a server that has no connection left for Follow is not away,
// and Get queries it.
func TestPostgresCannotListen(t *testing.T) {
	ctx := context.Background()
	text, seal := freshPostgres(t), newSeal(t)
	direct := openPostgres(t, text, seal)
	put(t, direct, wholeAccount(me))
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	role := strings.ToLower("r" + rand.Text())
	ask(t, text, `CREATE ROLE `+role+` LOGIN CONNECTION LIMIT 1 IN ROLE `+u.User.Username())
	t.Cleanup(func() { ask(t, text, `DROP ROLE `+role) })
	u.User = url.User(role)
	s := openPostgres(t, u.String(), seal)
	core, logs := observer.New(zap.ErrorLevel)
	s.log = zap.New(core)
	for { // Get takes the connection, once the server has noticed the end of openPostgres's
		_, err := s.Get(ctx, me)
		if err == nil {
			break
		}
		if !strings.Contains(err.Error(), "too many connections for role") {
			t.Fatal(err)
		}
	}
	following, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); s.Follow(following, func() {}, func() {}) }()
	for logs.Len() == 0 { // it could not connect
		runtime.Gosched()
	}
	put(t, direct, &Account{Mailbox: me, Provider: "after"})
	if a, err := s.Get(ctx, me); err != nil || a.Provider != "after" || a.Unconfirmed {
		t.Errorf("%v, %v", a, err)
	}
	stop()
	<-done
	s.Close()
}

// TestPostgresHeartbeat: a quiet connection confirms the copies.
func TestPostgresHeartbeat(t *testing.T) {
	s := openPostgres(t, freshPostgres(t), newSeal(t))
	s.heartbeat = time.Millisecond
	follow(t, s)
	confirmed := func() time.Time {
		s.known.mu.Lock()
		defer s.known.mu.Unlock()
		return s.known.confirmed
	}
	for before := confirmed(); !confirmed().After(before); {
		runtime.Gosched()
	}
}

// TestPostgresAwayAfterChange: after a change by another machine, the copy is up to date
// even if no login read the account before the database went away.
func TestPostgresAwayAfterChange(t *testing.T) {
	ctx := context.Background()
	url, seal := freshPostgres(t), newSeal(t)
	direct := openPostgres(t, url, seal)
	put(t, direct, wholeAccount(me))
	w := newWire(t, url)
	s := openPostgres(t, w.url, seal)
	changes := follow(t, s)
	if _, err := s.Get(ctx, me); err != nil {
		t.Fatal(err)
	}
	put(t, direct, &Account{Mailbox: me, Provider: "after"})
	<-changes
	for a := s.known.account(me); a == nil || a.Provider != "after"; a = s.known.account(me) { // without a Get
		runtime.Gosched()
	}
	w.setDown(true)
	if a, err := s.Get(ctx, me); err != nil || a.Provider != "after" {
		t.Errorf("%v, %v", a, err)
	}
}
