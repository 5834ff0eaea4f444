package audit

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"authferry/proxy"
)

const (
	// alike is how long similar failures are gathered into one line, from the second on.
	alike = time.Minute
	// maxGathered bounds the lines being gathered, so that a flood of names from
	// a flood of addresses costs bounded memory, and that many lines a minute.
	maxGathered = 1000
)

// failureKey is what similar failures have in common.
type failureKey struct {
	protocol, user, result string
	from                   netip.Addr
}

// repeats gathers similar failures. The first of a kind is an entry at once; those
// that follow within a minute are counted, and are one entry when it is over.
type repeats struct {
	by map[failureKey]*gathered
}

type gathered struct {
	since, until time.Time
	last         Entry // Count: how many, without the first
}

// add takes a failure, and reports whether to write it now.
func (r *repeats) add(a proxy.Attempt) (Entry, bool) {
	if r.by == nil {
		r.by = map[failureKey]*gathered{}
	}
	e, key := entryOf(a), failureKey{string(a.Protocol), a.User, a.Result, a.Client.Addr()}
	if g := r.by[key]; g != nil {
		g.more(e, addressOf(a.Client.Addr(), a.Client.IsValid()))
		return Entry{}, false
	}
	if len(r.by) < maxGathered {
		r.by[key] = &gathered{since: a.At, until: a.At.Add(alike)}
		return e, true
	}
	// Too many kinds: the rest are counted together, without names and addresses.
	key = failureKey{protocol: string(a.Protocol), result: a.Result}
	g := r.by[key]
	if g == nil {
		g = &gathered{since: a.At, until: a.At.Add(alike)}
		r.by[key] = g
	}
	g.more(Entry{Time: e.Time, Protocol: e.Protocol, Result: e.Result, Cause: "of many names or from many addresses"}, "")
	return Entry{}, false
}

func (g *gathered) more(e Entry, client string) {
	n := g.last.Count
	if n == 0 {
		g.since = e.Time
	}
	g.last = e
	g.last.Client, g.last.Count = client, n+1
}

// due returns the entries whose minute is over, the oldest first, and the time of
// the next; zero: none, until another failure is added.
func (r *repeats) due(now time.Time) (entries []Entry, next time.Time) {
	for key, g := range r.by {
		if now.Before(g.until) {
			if next.IsZero() || g.until.Before(next) {
				next = g.until
			}
			continue
		}
		delete(r.by, key)
		switch n := g.last.Count; {
		case n == 0:
			continue
		case n == 1:
			g.last.Count = 0 // a single failure has no count
		default:
			g.last.Since = g.since
		}
		entries = append(entries, g.last)
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Client, b.Client), cmp.Compare(a.User, b.User))
	})
	return entries, next
}
