package logging

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	// repeatsShown equal lines within repeatsWindow are written one by one,
	// enough for programs such as fail2ban to act; those after them become one
	// line at the end of the window.
	repeatsShown  = 20
	repeatsWindow = time.Minute
	// maxRepeats bounds the memory; beyond it all lines are written.
	maxRepeats = 4096
)

// repeatable are the events that unknown clients and broken programs can cause
// at any rate. Every other event is written, even if it looks like another:
// sessions of two programs of one owner, for example. zap's sampler does not
// fit: it counts by level and message, so that one client's flood would hide
// the lines of all others.
var repeatable = map[string]bool{
	"connection refused":            true,
	"login refused":                 true,
	"session ended":                 true, // those with a login differ in their times
	"accepting a connection failed": true,
	"token not refreshed":           true,
}

// repeats is a core that limits equal lines. Lines are equal if they differ
// only in time and in the client's port.
type repeats struct {
	zapcore.Core
	with  []zapcore.Field // what [zapcore.Core.With] added
	state *repeatState
}

type repeatState struct {
	mu   sync.Mutex
	runs map[string]*repeatRun
}

// repeatRun counts a line within the window.
type repeatRun struct {
	shown int
	held  int // since the window began
	since time.Time
	last  func() error // writes the last one that was held
	timer *time.Timer
}

func withoutRepeats(core zapcore.Core) zapcore.Core {
	return &repeats{Core: core, state: &repeatState{runs: map[string]*repeatRun{}}}
}

func (r *repeats) With(fields []zapcore.Field) zapcore.Core {
	with := append(r.with[:len(r.with):len(r.with)], fields...)
	return &repeats{Core: r.Core.With(fields), with: with, state: r.state}
}

func (r *repeats) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !r.Enabled(e.Level) {
		return to
	}
	return to.AddCore(e, r)
}

func (r *repeats) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if !repeatable[e.Message] || !r.state.hold(r.key(e, fields), r.Core, e, fields) {
		return r.Core.Write(e, fields)
	}
	return nil
}

// Sync writes the lines that are held back.
func (r *repeats) Sync() error { return errors.Join(r.state.flush(), r.Core.Sync()) }

// remotePort is in the errors of package net, and differs for each connection.
var remotePort = regexp.MustCompile(`(->\S+):\d+`)

// key returns the content of a line without what differs between equal lines.
func (r *repeats) key(e zapcore.Entry, fields []zapcore.Field) string {
	values := zapcore.NewMapObjectEncoder()
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s %s", e.Level, e.LoggerName, e.Message)
	for _, list := range [][]zapcore.Field{r.with, fields} {
		for _, f := range list {
			f.AddTo(values)
			text := fmt.Sprint(values.Fields[f.Key])
			switch f.Key {
			case "client":
				text = text[:max(0, strings.LastIndexByte(text, ':'))]
			case "again in":
				continue
			}
			fmt.Fprintf(&b, "\n%s %s", f.Key, remotePort.ReplaceAllString(text, "$1"))
		}
	}
	return b.String()
}

// hold keeps a line back if it has been written often enough in this window.
func (s *repeatState) hold(key string, core zapcore.Core, e zapcore.Entry, fields []zapcore.Field) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	run := s.runs[key]
	if run == nil {
		if len(s.runs) < maxRepeats {
			s.runs[key] = &repeatRun{shown: 1, timer: time.AfterFunc(repeatsWindow, func() { s.close(key) })}
		}
		return false
	}
	if run.shown < repeatsShown {
		run.shown++
		return false
	}
	if run.held == 0 {
		run.since = e.Time
	}
	run.held++
	run.last = func() error {
		return core.Write(e, append(fields[:len(fields):len(fields)], zap.Int("repeated", run.held), zap.Time("since", run.since)))
	}
	return true
}

// close ends a window. If lines were held back, another window follows, in
// which none is written before its end.
func (s *repeatState) close(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	run := s.runs[key]
	switch {
	case run == nil:
	case run.held == 0:
		delete(s.runs, key)
	default:
		_ = run.last() // a log that cannot be written has no place for its error
		run.held, run.last = 0, nil
		run.timer.Reset(repeatsWindow)
	}
}

// flush writes all lines that are held back, and forgets them.
func (s *repeatState) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for key, run := range s.runs {
		run.timer.Stop()
		if run.held > 0 {
			errs = append(errs, run.last())
		}
		delete(s.runs, key)
	}
	return errors.Join(errs...)
}
