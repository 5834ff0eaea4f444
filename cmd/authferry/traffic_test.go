package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"authferry/internal/config"
	"authferry/internal/server"
)

// trafficSessions is the number of sessions that a reload must not end, as far as this
// machine has descriptors for both ends of both legs.
func trafficSessions() int {
	n := 500 / slowdown
	if limit := server.DescriptorLimit(); limit > 0 {
		n = min(n, (limit-500)/4)
	}
	return n
}

// TestReloadLosesNoByte: hundreds of sessions carry mail in both directions while good
// and bad configurations are loaded and listeners are closed, also the one that
// accepted the sessions. No session ends, and every byte arrives. Then the server
// stops, and active sessions finish.
func TestReloadLosesNoByte(t *testing.T) {
	t.Parallel()
	s, _ := newShow(t)
	l := newTraffic(t, s)
	workers := make([]*worker, trafficSessions())
	for i := range workers {
		var err error
		if workers[i], err = l.enter(s.service.Address("imap")); err != nil {
			t.Fatal(err)
		}
	}
	var sessions sync.WaitGroup
	ended := make(chan error, len(workers))
	for _, w := range workers {
		sessions.Go(func() { ended <- w.work() })
	}
	good, err := os.ReadFile(s.configPath())
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []struct {
		from, to string
		refused  bool
	}{
		{"level = \"debug\"", "level = \"warn\"", false},
		{"delay = \"1ms\"", "delay = \"1 parsec\"", true},
		{"store = \"file:state\"", "store = \"file:elsewhere\"", true},
		{"\"imap://127.0.0.1:0\", ", "", false}, // which accepted all of them
		{"listen = [", "listen = [\"imap+starttls://127.0.0.1:0\", ", false},
		{"", "", false},
	} {
		l.await(t, len(workers))
		changed := strings.Replace(string(good), change.from, change.to, 1)
		if err := os.WriteFile(s.configPath(), []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.service.ReloadFile(); (err != nil) != change.refused {
			t.Errorf("%q for %q: %v", change.to, change.from, err)
		}
	}
	l.await(t, len(workers))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	l.stops.Store(true)
	if err := s.service.Shutdown(ctx); err != nil {
		t.Errorf("stopping: %v", err)
	}
	sessions.Wait()
	close(ended)
	for err := range ended {
		if err != nil {
			t.Error(err)
		}
	}
	// Another takes its place.
	c, err := config.Load(s.configPath())
	if err != nil {
		t.Fatal(err)
	}
	if s.service, err = server.Start(c, zap.NewNop(), zap.NewAtomicLevel()); err != nil {
		t.Fatal(err)
	}
	mustLogin(t, "imap", s.service.Address("imap"), demoMailbox, s.password.Reveal())
}

// traffic is the work of the sessions.
type traffic struct {
	*show
	message string // the one mail, which all fetch
	rounds  atomic.Int64
	stops   atomic.Bool
}

func newTraffic(t *testing.T, s *show) *traffic {
	t.Helper()
	l := &traffic{show: s, message: "Subject: load\r\n\r\n" + noise(8<<10)}
	if err := s.gmail.Deliver(demoMailbox, []byte(l.message)); err != nil {
		t.Fatal(err)
	}
	return l
}

// stopping reports whether the server is about to stop or stops.
func (l *traffic) stopping() bool { return l.stops.Load() }

// noise is text without repetition, so that a lost or moved piece is noticed.
func noise(size int) string {
	var b strings.Builder
	for b.Len() < size {
		fmt.Fprintf(&b, "%016x%016x%016x\r\n", rand.Uint64(), rand.Uint64(), rand.Uint64())
	}
	return b.String()
}

// await waits until the sessions have done a number of further rounds.
func (l *traffic) await(t *testing.T, rounds int) {
	t.Helper()
	until, tick := l.rounds.Load()+int64(rounds), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for l.rounds.Load() < until {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%d rounds are missing", until-l.rounds.Load())
		}
	}
}

// worker is a mail program.
type worker struct {
	*traffic
	conn net.Conn
	in   *bufio.Reader
	tag  int
}

func (l *traffic) enter(address string) (*worker, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(2 * patience))
	w := &worker{traffic: l, conn: conn, in: bufio.NewReader(conn)}
	if _, err := w.in.ReadString('\n'); err != nil {
		return nil, fmt.Errorf("the greeting: %w", err)
	}
	if _, err := w.ask("LOGIN %s %q", demoMailbox, l.password.Reveal()); err != nil {
		return nil, err
	}
	_, err = w.ask("SELECT INBOX")
	return w, err
}

const logout = "LOGOUT"

// errHungUp: authferry ended the session between two lines, as it may while it
// stops if nothing has moved for a second, such as on a machine that is busy.
var errHungUp = errors.New("hung up")

// ask makes one request and returns the last literal of the answer.
func (w *worker) ask(format string, args ...any) (literal string, err error) {
	w.tag++
	tag := fmt.Sprintf("t%d ", w.tag)
	if _, err := fmt.Fprintf(w.conn, tag+format+"\r\n", args...); err != nil {
		return "", err
	}
	for {
		line, err := w.in.ReadString('\n')
		switch {
		case err != nil:
			return "", fmt.Errorf("%s: after %q: %w", fmt.Sprintf(format, args...), line, err)
		case strings.HasPrefix(line, "* BYE") && format != logout:
			return "", errHungUp
		case strings.HasPrefix(line, tag+"OK"):
			return literal, nil
		case !strings.HasPrefix(line, "* ") && line != ")\r\n":
			return "", fmt.Errorf("%s: %q", fmt.Sprintf(format, args...), line)
		}
		if _, size, ok := strings.Cut(strings.TrimSuffix(line, "}\r\n"), "{"); ok {
			n, err := strconv.Atoi(size)
			if err != nil {
				return "", err
			}
			b := make([]byte, n)
			if _, err := io.ReadFull(w.in, b); err != nil {
				return "", err
			}
			literal = string(b)
		}
	}
}

// work fetches the mail and sends long commands until the server stops.
func (w *worker) work() (err error) {
	defer w.conn.Close()
	defer func() {
		if err == errHungUp && w.stopping() {
			err = nil
		}
	}()
	for last := false; !last; {
		last = w.stopping()
		got, err := w.ask("FETCH 1 BODY.PEEK[]")
		if err != nil {
			return err
		}
		if got != w.message {
			return fmt.Errorf("a mail of %d bytes arrived as %d others", len(w.message), len(got))
		}
		// The provider checks the other direction: a command that is cut or moved is
		// invalid, or has another tag.
		if _, err := w.ask("LIST \"\" %q", strings.ReplaceAll(noise(1<<10), "\r\n", " ")); err != nil {
			return err
		}
		w.rounds.Add(1)
	}
	_, err = w.ask(logout)
	return err
}
