package audit

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"authferry/proxy"
)

// TestRepeats: failures that are alike are one line a minute, beside the first.
func TestRepeats(t *testing.T) {
	var r repeats
	second := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
	for i := range 10 {
		if _, now := r.add(guess(second(i), "192.0.2.1:"+fmt.Sprint(1000+i), "a@example.org")); now != (i == 0) {
			t.Errorf("guess %d: told at once: %v", i, now)
		}
	}
	for i, other := range []proxy.Attempt{
		guess(second(1), "192.0.2.2:1", "a@example.org"), guess(second(2), "192.0.2.1:1", "b@example.org"), {At: second(3), Protocol: "imap", Client: netip.MustParseAddrPort("192.0.2.1:1"), User: "a@example.org", Result: "too many"},
	} {
		if _, now := r.add(other); !now {
			t.Errorf("%d is taken for the same", i)
		}
	}
	entries, next := r.due(second(59))
	if len(entries) != 0 || !next.Equal(second(60)) {
		t.Errorf("%+v, next %v", entries, next)
	}
	entries, next = r.due(second(60))
	want := []Entry{{Time: second(9), Since: second(1), Count: 9, Protocol: "imap", Client: "192.0.2.1", User: "a@example.org", Result: "bad login", Cause: "wrong password"}}
	if diff := cmp.Diff(want, entries); diff != "" || next.IsZero() {
		t.Errorf("%s, next %v", diff, next)
	}
	if entries, next = r.due(second(70)); len(entries) != 0 || !next.IsZero() || len(r.by) != 0 {
		t.Errorf("%+v, next %v, %d left", entries, next, len(r.by))
	}
	if _, now := r.add(guess(second(80), "192.0.2.1:1", "a@example.org")); !now {
		t.Error("after its minute it is not told at once")
	}
}

// TestManyKinds: what is gathered is bounded, and counted all the same.
func TestManyKinds(t *testing.T) {
	var r repeats
	const many = 3 * maxGathered
	told := 0
	for i := range many {
		if _, now := r.add(guess(start, "192.0.2.1:1", fmt.Sprint(i))); now {
			told++
		}
	}
	if len(r.by) > maxGathered+1 {
		t.Errorf("%d kinds in memory", len(r.by))
	}
	entries, _ := r.due(start.Add(alike))
	if len(entries) != 1 || entries[0].Times()+told != many || entries[0].Client != "" || entries[0].User != "" {
		t.Errorf("%d told, then %+v", told, entries)
	}
}
