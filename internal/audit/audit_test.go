package audit

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"authferry/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

const roomy = 10 << 20

func guess(at time.Time, from, user string) proxy.Attempt {
	return proxy.Attempt{At: at, Protocol: "imap", Client: netip.MustParseAddrPort(from), User: user,
		Result: "bad login", Cause: "wrong password"}
}

func success(at time.Time, mailbox string) proxy.Attempt {
	return proxy.Attempt{At: at, Protocol: "imap", Client: netip.MustParseAddrPort("192.0.2.1:1"), TLS: "TLS 1.3",
		User: mailbox, Mailbox: mailbox, Password: "CRM", Program: "Thunderbird 140", Result: proxy.AttemptOK}
}

func read(t *testing.T, dir string, q Query) []Entry {
	t.Helper()
	entries, err := Read(dir, q)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// TestRecord: what is noted is read back, by whatever is asked for.
func TestRecord(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logins")
	if got := read(t, dir, Query{}); got != nil {
		t.Errorf("nothing recorded: %+v", got)
	}
	l := Open(dir, roomy, zap.NewNop())
	l.Note(success(start, "a@example.org"))
	l.Note(guess(start.Add(time.Second), "[2001:db8::1]:7", "b@example.org"))
	turned := proxy.Attempt{At: start.Add(2 * time.Second), Protocol: "smtp", Client: netip.MustParseAddrPort("192.0.2.9:9"),
		Result: proxy.AttemptTurnedAway, Cause: "not allowed \n\x1b[31m\"quoted\""}
	l.Note(turned)
	l.Note(success(start.Add(3*time.Second), "B@example.org"))
	l.Close()
	l.Note(success(start, "late@example.org")) // after Close

	all := read(t, dir, Query{})
	want := []Entry{
		{Time: start, Protocol: "imap", Client: "192.0.2.1:1", TLS: "TLS 1.3", User: "a@example.org", Mailbox: "a@example.org",
			Password: "CRM", Program: "Thunderbird 140", Result: "ok"},
		{Time: start.Add(time.Second), Protocol: "imap", Client: "[2001:db8::1]:7", User: "b@example.org", Result: "bad login", Cause: "wrong password"},
		{Time: start.Add(2 * time.Second), Protocol: "smtp", Client: "192.0.2.9:9", Result: "turned away", Cause: turned.Cause},
		{Time: start.Add(3 * time.Second), Protocol: "imap", Client: "192.0.2.1:1", TLS: "TLS 1.3", User: "B@example.org", Mailbox: "B@example.org",
			Password: "CRM", Program: "Thunderbird 140", Result: "ok"},
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Error(diff)
	}
	for _, test := range []struct {
		q    Query
		want []Entry
	}{
		{Query{Mailbox: "b@EXAMPLE.org"}, []Entry{want[1], want[3]}},
		{Query{Failed: true}, want[1:3]},
		{Query{Since: start.Add(2 * time.Second)}, want[2:]},
		{Query{Last: 2}, want[2:]},
		{Query{Last: 1, Mailbox: "a@example.org"}, want[:1]},
	} {
		if diff := cmp.Diff(test.want, read(t, dir, test.q)); diff != "" {
			t.Errorf("%+v: %s", test.q, diff)
		}
	}
	if info, err := os.Stat(newest(dir, failed)); err != nil || info.Mode().Perm() != 0o600 && os.PathSeparator == '/' {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestCloseTellsAll: what is being gathered when the server ends is not lost.
func TestCloseTellsAll(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	l := Open(dir, roomy, zap.NewNop())
	const guesses = 500
	for i := range guesses {
		l.Note(guess(now, "192.0.2.1:1", fmt.Sprint(i%5)))
	}
	l.Close()
	times := 0
	entries := read(t, dir, Query{Failed: true})
	for i := range entries {
		times += entries[i].Times()
	}
	if times != guesses || len(entries) != 10 {
		t.Errorf("%d of %d guesses in %d lines", times, guesses, len(entries))
	}
}

// TestFlood: 100,000 guesses neither push out the logins that succeeded nor
// outgrow the bound.
func TestFlood(t *testing.T) {
	const size, guesses, successes = 400_000, 100_000, 300
	dir := t.TempDir()
	l, now := Open(dir, size, zap.NewNop()), time.Now()
	for i := range guesses {
		at := now.Add(time.Duration(i) * time.Millisecond)
		l.Note(guess(at, fmt.Sprintf("198.51.100.%d:%d", i%250, i%60000+1), fmt.Sprintf("name%d@example.org", i)))
		if i%(guesses/successes) == 0 {
			l.Note(success(at, "a@example.org"))
		}
	}
	l.Close()
	var bytes int64
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		bytes += info.Size()
	}
	if bytes > size {
		t.Errorf("%d bytes in %v", bytes, files)
	}
	if got := read(t, dir, Query{Mailbox: "a@example.org"}); len(got) < successes {
		t.Errorf("%d logins left of %d", len(got), successes)
	}
}
