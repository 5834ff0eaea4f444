package tokens

import (
	"strings"
	"sync"
	"testing"
	"time"

	"authferry/internal/hint"
	"authferry/internal/protocol"
	"authferry/tokens/store"
)

// TestMessagesSlide: the limit applies to any 60 minutes; messages in progress
// count, those that were not sent do not.
func TestMessagesSlide(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	v := NewVault(nil, Settings{}, nil)
	v.now = func() time.Time { return now }
	g := &Grant{PasswordID: "1", Password: PasswordRules{MessagesPerHour: 2}}
	begin := func() *Message {
		t.Helper()
		m, again := v.BeginMessage(g)
		if m == nil {
			t.Fatalf("no place, again in %v", again)
		}
		return m
	}
	full := func(want time.Duration) {
		t.Helper()
		if m, again := v.BeginMessage(g); m != nil || again != want {
			t.Errorf("%v, again in %v, want %v", m, again, want)
		}
	}
	first := begin()
	now = now.Add(10 * time.Minute)
	second := begin()
	full(0)
	first.End(false)
	first.End(false)
	third := begin()
	full(0)
	third.End(true)
	third.End(true)
	now = now.Add(20 * time.Minute)
	full(40 * time.Minute)
	second.End(true)
	if other, _ := v.BeginMessage(&Grant{PasswordID: "2", Password: g.Password}); other == nil {
		t.Error("another password has no place")
	}
	now = now.Add(40*time.Minute - 1)
	full(1)
	now = now.Add(1)
	begin().End(true)
	full(20 * time.Minute)
	now = now.Add(time.Hour)
	late := begin()
	late.End(false)
	if len(v.limits.log) != 1 { // the one of the other password
		t.Errorf("%d logs left", len(v.limits.log))
	}
	late.End(true) // it was sent after all
	begin().End(true)
	full(time.Hour)
}

// TestMessagesTogether: all sessions share the count.
func TestMessagesTogether(t *testing.T) {
	v := NewVault(nil, Settings{}, nil)
	g := &Grant{PasswordID: "1", Password: PasswordRules{MessagesPerHour: 50}}
	var wg sync.WaitGroup
	got := make(chan bool, 200)
	for range cap(got) {
		wg.Go(func() {
			m, _ := v.BeginMessage(g)
			if m != nil {
				m.End(true)
			}
			got <- m != nil
		})
	}
	wg.Wait()
	close(got)
	n := 0
	for ok := range got {
		if ok {
			n++
		}
	}
	if n != 50 {
		t.Errorf("%d messages", n)
	}
	for range 1000 {
		if m, _ := v.BeginMessage(&Grant{PasswordID: "2"}); m == nil {
			t.Fatal("a limit where there is none")
		}
	}
}

func TestRules(t *testing.T) {
	for _, test := range []struct {
		spec PasswordSpec
		want string // empty: fine
	}{
		{PasswordSpec{ReadOnly: true}, ""},
		{PasswordSpec{ReadOnly: true, Protocols: []protocol.Protocol{"imap"}}, ""},
		{PasswordSpec{ReadOnly: true, Protocols: []protocol.Protocol{"smtp", "imap"}}, ""},
		{PasswordSpec{ReadOnly: true, Protocols: []protocol.Protocol{"smtp"}}, "imap or pop3"},
		{PasswordSpec{ReadOnly: true, Recipients: 1}, "sends nothing"},
		{PasswordSpec{ReadOnly: true, MessagesPerHour: 1}, "sends nothing"},
		{PasswordSpec{MessagesPerHour: 1, Recipients: maxRecipients}, ""},
		{PasswordSpec{MessagesPerHour: -1}, "-1 messages an hour"},
		{PasswordSpec{MessagesPerHour: maxMessages + 1}, "1 to 10000"},
		{PasswordSpec{Recipients: -1}, "-1 recipients"},
		{PasswordSpec{Recipients: maxRecipients + 1}, "1 to 10000"},
		{PasswordSpec{Recipients: 1, Protocols: []protocol.Protocol{"imap"}}, "must allow smtp"},
	} {
		test.spec.Name = "x"
		p, _, err := newPassword(test.spec, time.Now())
		switch {
		case test.want == "" && err != nil, test.want != "" && (err == nil || !strings.Contains(err.Error()+": "+hint.Of(err), test.want)):
			t.Errorf("%+v: %v, want %q", test.spec, err, test.want)
		case err == nil && (p.ReadOnly != test.spec.ReadOnly || p.MessagesPerHour != test.spec.MessagesPerHour || p.Recipients != test.spec.Recipients):
			t.Errorf("%+v became %+v", test.spec, p)
		}
	}
}

// TestReadOnlyIsNotForSending: a read-only password does not allow SMTP, and the log
// says why.
func TestReadOnlyIsNotForSending(t *testing.T) {
	p := store.Password{Name: "x", ReadOnly: true}
	for protocol, want := range map[protocol.Protocol]bool{"imap": true, "pop3": true, "smtp": false} {
		if why := forbids(&p, Login{Protocol: protocol}, time.Now()); (why == "") != want {
			t.Errorf("%s: %q", protocol, why)
		}
	}
}
