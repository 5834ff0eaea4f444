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
	// repeatsShown lines that say the same within repeatsWindow are written one
	// by one, which is enough for a program such as fail2ban to act; those after
	// them become one line at its end.
	repeatsShown  = 20
	repeatsWindow = time.Minute
	// maxRepeats bounds what is remembered: beyond it all lines are written.
	maxRepeats = 4096
)

// repeatable are the events that strangers and broken programs cause as often
// as they like. All others happen once each, however alike they look: the
// sessions of two programs of one owner, say.
var repeatable = map[string]bool{
	"connection refused":            true,
	"login refused":                 true,
	"session ended":                 true, // those with a login differ in their times
	"accepting a connection failed": true,
	"token not refreshed":           true,
}

// repeats is a core that writes the same line only so often. Lines are the same
// if they differ in time and in the client's port only.
type repeats struct {
	zapcore.Core
	with  []zapcore.Field // what [zapcore.Core.With] added
	state *repeatState
}

type repeatState struct {
	mu   sync.Mutex
	runs map[string]*repeatRun
}

// repeatRun is a line that has been written within the window.
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

// Sync writes what is held.
func (r *repeats) Sync() error { return errors.Join(r.state.flush(), r.Core.Sync()) }

// remotePort is in the errors of package net, and new with each connection.
var remotePort = regexp.MustCompile(`(->\S+):\d+`)

// key is what a line says.
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

// hold keeps a line back if it has been written often enough lately.
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

// close ends a window. A line that still comes gets another one, in which none
// is written before its end.
func (s *repeatState) close(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	run := s.runs[key]
	switch {
	case run == nil:
	case run.held == 0:
		delete(s.runs, key)
	default:
		_ = run.last() // as little to be done about it as about any line of a log
		run.held, run.last = 0, nil
		run.timer.Reset(repeatsWindow)
	}
}

// flush writes all that is held, and forgets.
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
