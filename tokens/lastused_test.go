package tokens

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"authferry/tokens/store"
)

// TestLastUsed: the use of a password is written after the logins, once for many of
// them.
func TestLastUsed(t *testing.T) {
	r := newRig(t)
	r.mustAuthorize()
	for _, client := range []string{"first", strings.Repeat("é", 100)} {
		l := r.login()
		l.From, l.Client = netip.MustParseAddr("::ffff:192.0.2.77"), client
		r.clock.Advance(time.Second)
		if _, err := r.Authorize(context.Background(), l); err != nil {
			t.Fatal(err)
		}
	}
	if used := r.account().Passwords[0].LastUsed; !used.At.IsZero() {
		t.Error("a login waited for the disk")
	}
	token := r.account().Token
	if err := r.lastUsed.flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	used := r.account().Passwords[0].LastUsed
	if used.From != netip.MustParseAddr("192.0.2.77") || used.Protocol != "imap" || used.Client != strings.Repeat("é", 39) && used.Client != strings.Repeat("é", 40) || used.At.IsZero() {
		t.Errorf("%+v", used)
	}
	if after := r.account().Token; after.Access != token.Access {
		t.Error("the token changed")
	}
	info := mustStat(t, r.file(me))
	if err := r.lastUsed.flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if again := mustStat(t, r.file(me)); !again.ModTime().Equal(info.ModTime()) {
		t.Error("written again without a use")
	}
	// An older use, noted by a slower process, does not replace a newer one.
	r.lastUsed.note(me, r.account().Passwords[0].ID, store.Use{At: used.At.Add(-time.Hour), Protocol: "pop3"})
	// A use does not restore a mailbox that was removed.
	r.lastUsed.note("gone@gmail.com", "1", store.Use{At: used.At})
	if err := r.lastUsed.flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := r.account().Passwords[0].LastUsed; got.Protocol != "imap" {
		t.Errorf("%+v", got)
	}
	if _, err := r.files.Get(context.Background(), "gone@gmail.com"); !errors.Is(err, store.ErrNoMailbox) {
		t.Error(err)
	}
}

// updatedStore sends the mailbox of each Update.
type updatedStore struct {
	store.Store
	updated chan string
}

func (s *updatedStore) Update(_ context.Context, mailbox string, _ func(*store.Account) error) error {
	s.updated <- mailbox
	return nil
}

// TestLastUsedIsWrittenByTheMinute: uses are written a minute after the first of
// them, and none is written after the vault was closed.
func TestLastUsedIsWrittenByTheMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &updatedStore{updated: make(chan string, 9)}
		v := NewVault(s, Settings{}, nil)
		for range 2 {
			began := time.Now()
			v.lastUsed.note(me, "1", store.Use{})
			v.lastUsed.note(me, "2", store.Use{})
			if mailbox := <-s.updated; mailbox != me || time.Since(began) != flushEvery {
				t.Errorf("%s is written after %s", mailbox, time.Since(began))
			}
		}
		v.lastUsed.note(me, "3", store.Use{})
		if err := v.Close(t.Context()); err != nil || len(s.updated) != 1 {
			t.Errorf("%d writes at the end, %v", len(s.updated), err)
		}
		v.lastUsed.note(me, "4", store.Use{})
		time.Sleep(time.Hour)
		if len(s.updated) != 1 {
			t.Error("a use is written after the end")
		}
	})
}

func TestLastUsedIsWrittenAtClose(t *testing.T) {
	r := newRig(t)
	r.mustAuthorize()
	if err := r.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if r.account().Passwords[0].LastUsed.At.IsZero() {
		t.Error("not written")
	}
	if err := r.Close(context.Background()); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

// TestCloseWaits: Close waits for a refresh under way until its context ends.
func TestCloseWaits(t *testing.T) {
	r := newRig(t)
	arrived, release := r.endpoint.Stall()
	defer release()
	done := make(chan error, 1)
	go func() {
		_, err := r.authorize()
		done <- err
	}()
	<-arrived
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Close: %v", err)
	}
	var released atomic.Bool
	time.AfterFunc(20*time.Millisecond, func() {
		released.Store(true)
		release()
	})
	if err := r.Close(context.Background()); err != nil || !released.Load() {
		t.Errorf("Close did not wait: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("the refresh under way: %v", err)
	}
}
