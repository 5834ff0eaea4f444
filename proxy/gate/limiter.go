package gate

import (
	"slices"
	"time"
)

const (
	// maxKeys bounds the keys of a limiter and the mailboxes with known
	// addresses, so that a flood from many addresses costs bounded memory.
	maxKeys = 10_000
	// maxEvents is how many events of a key a limiter recognizes.
	maxEvents = 4
)

// Limiter counts failures by key, such as wrong passwords by address. It forgets
// the failures of a key when the last is older than Life, and of more than 10,000
// keys one that failed long ago. It has no lock.
type Limiter[K comparable] struct {
	// Life returns for how long that many failures count after the last of them.
	// nil: for ever.
	Life func(failures int) time.Duration

	failed map[K]failures
}

type failures struct {
	count  int
	last   time.Time
	events []uint64 // the latest
}

func (l *Limiter[K]) get(k K, now time.Time) failures {
	f, ok := l.failed[k]
	if ok && l.Life != nil && now.Sub(f.last) > l.Life(f.count) {
		return failures{}
	}
	return f
}

// Count returns how many failures of a key count, and when the last was.
func (l *Limiter[K]) Count(k K, now time.Time) (count int, last time.Time) {
	f := l.get(k, now)
	return f.count, f.last
}

// Add counts a failure and reports whether it did: an event that is one of the
// last few of its key is not counted again. The event 0 is always counted.
func (l *Limiter[K]) Add(k K, event uint64, now time.Time) bool {
	f := l.get(k, now)
	if event != 0 {
		if slices.Contains(f.events, event) {
			return false
		}
		f.events = append(f.events[max(0, len(f.events)-maxEvents+1):], event)
	}
	f.count++
	f.last = now
	if l.failed == nil {
		l.failed = make(map[K]failures)
	}
	makeRoom(l.failed, k, func(f failures) time.Time { return f.last })
	l.failed[k] = f
	return true
}

// Subtract takes failures off the count of a key.
func (l *Limiter[K]) Subtract(k K, n int) {
	if f, ok := l.failed[k]; ok {
		f.count = max(0, f.count-n)
		l.failed[k] = f
	}
}

// Forget forgets the failures of a key and returns how many there were.
func (l *Limiter[K]) Forget(k K) int {
	n := l.failed[k].count
	delete(l.failed, k)
	return n
}

// Len returns how many keys the limiter remembers.
func (l *Limiter[K]) Len() int { return len(l.failed) }

// makeRoom deletes an entry of a full map, unless it has the key k already: of a
// few that the runtime selects at random, the one that was used longest ago.
func makeRoom[K comparable, V any](m map[K]V, k K, used func(V) time.Time) (deleted V) {
	const samples = 16
	if _, ok := m[k]; ok || len(m) < maxKeys {
		return deleted
	}
	var oldest K
	n := 0
	for k, v := range m {
		if n == 0 || used(v).Before(used(deleted)) {
			oldest, deleted = k, v
		}
		if n++; n == samples {
			break
		}
	}
	delete(m, oldest)
	return deleted
}
