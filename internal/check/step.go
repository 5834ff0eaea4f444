package check

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Step is one thing looked at, and the stable shape of `authferry check --json`.
type Step struct {
	Name   string `json:"step"`
	Result Result `json:"result"`
	Detail string `json:"detail"`
	Fix    string `json:"fix"`            // of a failure, what to do about it
	Page   string `json:"page,omitempty"` // where to do it

	// What the step is about; both empty: the installation as a whole.
	Provider string `json:"provider,omitempty"`
	Mailbox  string `json:"mailbox,omitempty"`

	Took float64 `json:"took"` // seconds
}

// Result is what became of a step.
type Result string

const (
	OK   Result = "ok"
	Fail Result = "fail"
	Skip Result = "skip" // not done, or nothing to be learnt; the detail says why
)

// finding is what a step came to.
type finding struct {
	result            Result
	detail, fix, page string
}

func fine(format string, args ...any) finding {
	return finding{result: OK, detail: fmt.Sprintf(format, args...)}
}

func skipped(format string, args ...any) finding {
	return finding{result: Skip, detail: fmt.Sprintf(format, args...)}
}

func failed(fix, format string, args ...any) finding {
	return finding{result: Fail, detail: fmt.Sprintf(format, args...), fix: fix}
}

// at names the page where the fix is made.
func (f finding) at(page string) finding {
	f.page = page
	return f
}

// list reports the steps about one thing.
type list struct {
	provider, mailbox string
	secrets           secrets // what no text may hold
	report            func(Step)
	failed            []string // names of the steps that failed
}

// step does one and tells whether it is ok.
func (l *list) step(ctx context.Context, name string, do func() finding) bool {
	began := time.Now()
	f := skipped("interrupted")
	if ctx.Err() == nil {
		f = do()
	}
	if f.result == Fail && ctx.Err() != nil {
		f = skipped("interrupted") // whatever it says, this is why
	}
	if f.result == Fail {
		l.failed = append(l.failed, name)
	}
	l.report(Step{
		Name: name, Result: f.result, Provider: l.provider, Mailbox: l.mailbox, Page: f.page,
		Detail: l.secrets.scrub(f.detail), Fix: l.secrets.scrub(f.fix),
		Took: time.Since(began).Round(time.Millisecond).Seconds(),
	})
	return f.result == OK
}

// skip reports steps that are not done, all for one reason.
func (l *list) skip(ctx context.Context, reason string, names ...string) {
	for _, name := range names {
		l.step(ctx, name, func() finding { return skipped("%s", reason) })
	}
}

// inOrder runs tasks side by side, no more than atOnce, and reports their
// steps one after the other, as they come and in the order of the tasks.
func inOrder(report func(Step), atOnce int, tasks ...func(report func(Step))) {
	turns := make(chan struct{}, max(atOnce, 1))
	lanes := make([]*lane, len(tasks))
	for i := range lanes {
		lanes[i] = &lane{more: make(chan struct{}, 1)}
	}
	var running sync.WaitGroup
	running.Go(func() {
		for i, task := range tasks {
			turns <- struct{}{}
			running.Go(func() {
				defer func() { <-turns }()
				defer lanes[i].end()
				task(lanes[i].put)
			})
		}
	})
	for _, l := range lanes {
		l.drain(report)
	}
	running.Wait()
}

// lane holds the steps of a task until they are reported.
type lane struct {
	mu    sync.Mutex
	steps []Step
	ended bool
	more  chan struct{} // has one element while there is something new
}

func (l *lane) put(s Step) {
	l.mu.Lock()
	l.steps = append(l.steps, s)
	l.mu.Unlock()
	l.wake()
}

func (l *lane) end() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.wake()
}

func (l *lane) wake() {
	select {
	case l.more <- struct{}{}:
	default:
	}
}

func (l *lane) drain(report func(Step)) {
	for ended := false; !ended; {
		<-l.more
		l.mu.Lock()
		var steps []Step
		steps, l.steps, ended = l.steps, nil, l.ended
		l.mu.Unlock()
		for _, s := range steps {
			report(s)
		}
	}
}
