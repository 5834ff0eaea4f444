package audit

import (
	"encoding/json"
	"sync"
	"time"

	"go.uber.org/zap"

	"authferry/proxy"
)

// maxWaiting bounds the entries that wait for a slow disk; more are lost.
const maxWaiting = 10_000

// Log writes the record. One server at a time writes to a directory.
type Log struct {
	log      *zap.Logger
	segments map[string]*segment // by kind; the writer's

	mu      sync.Mutex
	size    int64
	waiting []Entry
	lost    int
	repeats repeats
	closed  bool
	wake    chan struct{} // holds one: there is work
	done    chan struct{} // the writer has ended
}

// Open returns a record in a directory, which the first entry creates. size bounds
// the sum of its files; 0 keeps no record. The caller must close it.
func Open(dir string, size int64, log *zap.Logger) *Log {
	l := newLog(dir, size, log)
	go l.write()
	return l
}

func newLog(dir string, size int64, log *zap.Logger) *Log {
	return &Log{
		log: log, size: size,
		segments: map[string]*segment{succeeded: {dir: dir, kind: succeeded}, failed: {dir: dir, kind: failed}},
		wake:     make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// Resize changes the bound. Files shrink with the next entries.
func (l *Log) Resize(size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.size = size
}

// Note records an attempt. It never waits for the disk.
func (l *Log) Note(a proxy.Attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size == 0 || l.closed {
		return
	}
	if a.Result == proxy.AttemptOK {
		l.enqueue(entryOf(a))
	} else if e, now := l.repeats.add(a); now {
		l.enqueue(e)
	} else {
		return // due when its minute ends
	}
	l.rouse()
}

func (l *Log) enqueue(e Entry) {
	if len(l.waiting) >= maxWaiting {
		l.lost++
		return
	}
	l.waiting = append(l.waiting, e)
}

func (l *Log) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Close writes the entries that are left.
func (l *Log) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.rouse()
	<-l.done
}

// write is the writer, the only goroutine that waits for the disk.
func (l *Log) write() {
	defer close(l.done)
	timer := time.NewTimer(alike)
	defer timer.Stop()
	for {
		b := l.take(time.Now())
		l.put(b)
		if b.last {
			for _, s := range l.segments {
				s.close()
			}
			return
		}
		if b.next.IsZero() {
			<-l.wake
			continue
		}
		timer.Reset(time.Until(b.next))
		select {
		case <-l.wake:
		case <-timer.C:
		}
	}
}

// batch is one piece of work for the writer.
type batch struct {
	entries []Entry
	lost    int
	size    int64
	next    time.Time // when gathered failures are due; zero: never
	last    bool
}

// take returns the entries that are due; all of them once the log is closed.
func (l *Log) take(now time.Time) batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		now = now.AddDate(100, 0, 0)
	}
	gathered, next := l.repeats.due(now)
	b := batch{entries: append(l.waiting, gathered...), lost: l.lost, size: l.size, next: next, last: l.closed}
	l.waiting, l.lost = nil, 0
	return b
}

// put appends entries to their files.
func (l *Log) put(b batch) {
	if b.lost > 0 {
		l.log.Warn("logins were not recorded: the disk is too slow for them", zap.Int("count", b.lost))
	}
	lines := map[string][][]byte{}
	for i := range b.entries {
		line, err := json.Marshal(&b.entries[i])
		if err != nil { // a year beyond 9999, which no clock has
			l.log.Error("a login cannot be recorded", zap.Error(err))
			continue
		}
		kind := failed
		if b.entries[i].OK() {
			kind = succeeded
		}
		lines[kind] = append(lines[kind], append(line, '\n'))
	}
	for _, kind := range []string{succeeded, failed} {
		if s := l.segments[kind]; len(lines[kind]) > 0 && b.size > 0 {
			l.report(s, s.append(lines[kind], b.size/4))
		}
	}
}

// report logs trouble with the disk once, since there may be thousands of logins
// a minute, and its end.
func (l *Log) report(s *segment, err error) {
	switch {
	case err != nil && !s.trouble:
		l.log.Error("logins cannot be recorded, and `authferry logins` will lack them; they go on all the same", zap.Error(err))
	case err == nil && s.trouble:
		l.log.Info("logins are recorded again", zap.String("file", newest(s.dir, s.kind)))
	}
	s.trouble = err != nil
}
