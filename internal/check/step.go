package check

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"authferry/internal/printable"
	"authferry/internal/secret"
	"authferry/tokens/oauth"
)

// Step is the result of one step, and the stable form of `authferry check --json`.
type Step struct {
	Name   string `json:"step"`
	Result Result `json:"result"`
	Detail string `json:"detail"`
	Fix    string `json:"fix"`            // what to do about a failure
	Page   string `json:"page,omitempty"` // where to do it

	// What the step is about; both empty: the installation.
	Provider string `json:"provider,omitempty"`
	Mailbox  string `json:"mailbox,omitempty"`

	Took float64 `json:"took"` // seconds
}

// Result is the outcome of a step.
type Result string

const (
	OK   Result = "ok"
	Fail Result = "fail"
	Skip Result = "skip" // not done, or without a result; the detail says why
)

// finding is what a step found.
type finding struct {
	result            Result
	detail, fix, page string
}

func passed(format string, args ...any) finding {
	return finding{result: OK, detail: fmt.Sprintf(format, args...)}
}

func skipped(format string, args ...any) finding {
	return finding{result: Skip, detail: fmt.Sprintf(format, args...)}
}

func failed(fix, format string, args ...any) finding {
	return finding{result: Fail, detail: fmt.Sprintf(format, args...), fix: fix}
}

// at adds the page where the fix is made.
func (f finding) at(page string) finding {
	f.page = page
	return f
}

// reporter reports the steps about one provider or mailbox.
type reporter struct {
	provider, mailbox string
	secrets           secret.Scrubber // removed from every text
	report            func(Step)
	failed            []string // names of the steps that failed
}

// step does a step and reports whether it is ok.
func (r *reporter) step(ctx context.Context, name string, do func() finding) bool {
	began := time.Now()
	f := skipped("interrupted")
	if ctx.Err() == nil {
		f = do()
	}
	if f.result == Fail && ctx.Err() != nil {
		f = skipped("interrupted") // the interruption caused the failure
	}
	if f.result == Fail {
		r.failed = append(r.failed, name)
	}
	r.report(Step{
		Name: name, Result: f.result, Provider: r.provider, Mailbox: r.mailbox, Page: f.page,
		Detail: r.secrets.ScrubPieces(f.detail), Fix: r.secrets.ScrubPieces(f.fix),
		Took: time.Since(began).Round(time.Millisecond).Seconds(),
	})
	return f.result == OK
}

// skip reports steps that are not done for a common reason.
func (r *reporter) skip(ctx context.Context, reason string, names ...string) {
	for _, name := range names {
		r.step(ctx, name, func() finding { return skipped("%s", reason) })
	}
}

// minSecret is how long a secret must be to be removed from a step's text: a shorter
// one occurs within ordinary words.
const minSecret = 8

// providerSecrets are the secrets of a provider's configuration.
func providerSecrets(p *oauth.Provider) secret.Scrubber {
	s := secret.NewScrubber(minSecret, p.ClientSecret)
	if p.Proxy != nil {
		password, _ := p.Proxy.User.Password()
		s = s.With(secret.String(password))
	}
	return s
}

// quoted quotes a peer's text on one line, without the secrets that the peer was told:
// it may repeat them whole, cut or encoded.
func quoted(secrets secret.Scrubber, text string) string {
	lines := strings.FieldsFunc(secrets.ScrubPieces(text), func(r rune) bool { return r == '\r' || r == '\n' })
	return printable.Quote(strings.TrimSpace(strings.Join(lines, " ")))
}

// noSecrets is for text of a peer that was told none.
var noSecrets secret.Scrubber

// inOrder runs tasks concurrently, at most atOnce at a time, and reports their steps as
// soon as possible in the order of the tasks.
func inOrder(report func(Step), atOnce int, tasks ...func(report func(Step))) {
	slots := make(chan struct{}, max(atOnce, 1))
	outputs := make([]*orderedOutput, len(tasks))
	for i := range outputs {
		outputs[i] = &orderedOutput{more: make(chan struct{}, 1)}
	}
	var running sync.WaitGroup
	running.Go(func() {
		for i, task := range tasks {
			slots <- struct{}{}
			running.Go(func() {
				defer func() { <-slots }()
				defer outputs[i].end()
				task(outputs[i].put)
			})
		}
	})
	for _, o := range outputs {
		o.drain(report)
	}
	running.Wait()
}

// orderedOutput holds the steps of a task until its turn to report them.
type orderedOutput struct {
	mu    sync.Mutex
	steps []Step
	ended bool
	more  chan struct{} // has one element while there is something new
}

func (o *orderedOutput) put(s Step) {
	o.mu.Lock()
	o.steps = append(o.steps, s)
	o.mu.Unlock()
	o.wake()
}

func (o *orderedOutput) end() {
	o.mu.Lock()
	o.ended = true
	o.mu.Unlock()
	o.wake()
}

func (o *orderedOutput) wake() {
	select {
	case o.more <- struct{}{}:
	default:
	}
}

// drain reports the steps until the task has ended.
func (o *orderedOutput) drain(report func(Step)) {
	for ended := false; !ended; {
		<-o.more
		o.mu.Lock()
		var steps []Step
		steps, o.steps, ended = o.steps, nil, o.ended
		o.mu.Unlock()
		for _, s := range steps {
			report(s)
		}
	}
}
