package tokens

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"authferry/tokens/store"
)

// TestLastUsed: the use of a password is written behind the logins, and once
// for many.
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
	if err := r.uses.flush(context.Background()); err != nil {
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
	if err := r.uses.flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if again := mustStat(t, r.file(me)); !again.ModTime().Equal(info.ModTime()) {
		t.Error("written again without a use")
	}
	// An older use, noted by a slower process, does not replace a newer one.
	r.uses.note(me, r.account().Passwords[0].ID, store.Use{At: used.At.Add(-time.Hour), Protocol: "pop3"})
	// Nor does a use bring back what is gone.
	r.uses.note("gone@gmail.com", "1", store.Use{At: used.At})
	if err := r.uses.flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := r.account().Passwords[0].LastUsed; got.Protocol != "imap" {
		t.Errorf("%+v", got)
	}
	if _, err := r.files.Get(context.Background(), "gone@gmail.com"); !errors.Is(err, store.ErrNoMailbox) {
		t.Error(err)
	}
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

// TestCloseWaits: a refresh under way is waited for, as long as may be.
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
