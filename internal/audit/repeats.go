package audit

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"authferry/proxy"
)

const (
	// alike is how long failures are gathered into one line, from the second on.
	alike = time.Minute
	// maxGathered bounds the lines being gathered, so that a flood of names from
	// a flood of addresses costs bounded memory, and that many lines a minute.
	maxGathered = 1000
)

// failureKey is what failures that are alike have in common.
type failureKey struct {
	protocol, user, result string
	from                   netip.Addr
}

// repeats gathers failures that are alike. The first of a kind is told at once;
// those that follow within a minute are counted, and told when it is over.
type repeats struct {
	by map[failureKey]*gathered
}

type gathered struct {
	since, until time.Time
	last         Entry // Count: how many, beside the one told at once
}

// add takes a failure, and tells whether to write it down now.
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
	// Too many kinds: those beyond are told as so many from anywhere.
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

// due returns what has been gathered long enough, the oldest first, and when to
// look again; zero: never, until something is added.
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
			g.last.Count = 0 // one is no repetition of itself
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
