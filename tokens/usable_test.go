package tokens

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"authferry/internal/atomicfile"
)

// TestUsable: a store that cannot be written is found, and the check leaves nothing
// behind.
func TestUsable(t *testing.T) {
	r := newRig(t)
	if err := r.Usable(t.Context()); err != nil {
		t.Errorf("a good store: %v", err)
	}
	whole := atomicfile.Disk
	atomicfile.Disk.Write = func(*os.File, []byte) (int, error) { return 0, syscall.ENOSPC }
	err := r.Usable(t.Context())
	atomicfile.Disk = whole
	if err == nil || !strings.Contains(err.Error(), "cannot be written to") || !strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
		t.Errorf("a full disk: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(r.mailboxes(), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	gone := r.mailboxes() + ".gone"
	if err := os.Rename(r.mailboxes(), gone); err != nil {
		t.Fatal(err)
	}
	if err := r.Usable(t.Context()); err == nil || !strings.Contains(err.Error(), "listing the mailboxes") {
		t.Errorf("a store that is gone: %v", err)
	}
	if err := os.Rename(gone, r.mailboxes()); err != nil {
		t.Fatal(err)
	}
}

// TestRefreshesAreCounted: they are counted by their results.
func TestRefreshesAreCounted(t *testing.T) {
	r := newRig(t)
	if got := r.Refreshes(); len(got) > 0 {
		t.Errorf("before any: %v", got)
	}
	for _, answer := range []struct {
		status int
		body   string
	}{{500, `{}`}, {429, `{}`}, {429, `{}`}, {0, ""}} {
		r.endpoint.Does(nil)
		if answer.status != 0 {
			r.endpoint.Answers(answer.status, answer.body)
		}
		r.Refresh(t.Context(), me) // a person's: no back-off but an ordered one
		r.clock.Advance(time.Hour)
	}
	want := []Refreshes{{"fake", "ok", 1}, {"fake", "outage", 1}, {"fake", "throttled", 2}}
	if diff := cmp.Diff(want, r.Refreshes(), cmpopts.SortSlices(func(a, b Refreshes) bool { return a.Result < b.Result })); diff != "" {
		t.Error(diff)
	}
}
