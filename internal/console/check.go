package console

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"authferry/internal/check"
	"authferry/internal/console/frame"
	"authferry/tokens/store"
)

// checkRuns test the logins of mailboxes, as `authferry check` does, while people
// watch:
//
//	POST /mailboxes/{mailbox}/test          begins a run, or joins the one under way
//	GET  /mailboxes/{mailbox}/test          its steps so far
//	POST /mailboxes/{mailbox}/test/cancel   ends it
type checkRuns struct {
	check   func(ctx context.Context, mailbox string, report func(check.Step))
	now     func() time.Time
	mu      sync.Mutex
	of      map[string]*checkRun
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	closed  bool
}

// checkRun is the last run for a mailbox.
type checkRun struct {
	mu    sync.Mutex
	steps []check.Step
	ended time.Time // zero: it goes on
	stop  context.CancelFunc
}

const (
	// checkTime bounds a run: every step of it has a bound of its own.
	checkTime = 4 * time.Minute
	// checkMemory is how long its steps can be looked at.
	checkMemory = time.Hour
	// maxChecks bounds the runs under way for all mailboxes.
	maxChecks = 8
)

var errTooManyChecks = errors.New("too many mailboxes are being tested")

func newCheckRuns(check func(context.Context, string, func(check.Step)), now func() time.Time) *checkRuns {
	ctx, cancel := context.WithCancel(context.Background())
	return &checkRuns{check: check, now: now, of: map[string]*checkRun{}, ctx: ctx, cancel: cancel}
}

func mountChecks(c *Console) {
	c.mount("POST /mailboxes/{mailbox}/test", frame.SignedIn, beginCheck)
	c.mount("GET /mailboxes/{mailbox}/test", frame.SignedIn, checkPage)
	c.mount("POST /mailboxes/{mailbox}/test/cancel", frame.SignedIn, endCheck)
}

func (l *checkRuns) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cancel()
	l.running.Wait()
}

// start starts a run for a mailbox, unless one is under way.
func (l *checkRuns) start(mailbox string) error {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	under := 0
	for name, run := range l.of {
		switch ended := run.endedAt(); {
		case ended.IsZero():
			under++
		case now.Sub(ended) > checkMemory:
			delete(l.of, name)
		}
	}
	if run := l.of[mailbox]; run != nil && run.endedAt().IsZero() {
		return nil
	}
	if l.closed || under >= maxChecks {
		return errTooManyChecks
	}
	ctx, stop := context.WithTimeout(l.ctx, checkTime)
	run := &checkRun{stop: stop}
	l.of[mailbox] = run
	l.running.Go(func() {
		l.check(ctx, mailbox, run.add)
		run.finish(l.now())
		stop()
	})
	return nil
}

func (l *checkRuns) find(mailbox string) *checkRun {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of[mailbox]
}

func (run *checkRun) add(s check.Step) {
	run.mu.Lock()
	defer run.mu.Unlock()
	run.steps = append(run.steps, s)
}

func (run *checkRun) finish(now time.Time) {
	run.mu.Lock()
	defer run.mu.Unlock()
	run.ended = now
}

func (run *checkRun) endedAt() time.Time {
	run.mu.Lock()
	defer run.mu.Unlock()
	return run.ended
}

// checkView is a run on a page.
type checkView struct {
	Mailbox string
	Steps   []check.Step
	Known   bool // there was a run
	Running bool
	Failed  int
	Ended   time.Time
	Follow  bool
}

// view returns what a user may see of a run. Steps about the installation as a
// whole are for administrators.
func (run *checkRun) view(all bool) checkView {
	run.mu.Lock()
	defer run.mu.Unlock()
	view := checkView{Known: true, Running: run.ended.IsZero(), Follow: run.ended.IsZero(), Ended: run.ended}
	for _, s := range run.steps {
		if !all && s.Mailbox == "" && s.Provider == "" {
			continue
		}
		if s.Result == check.Fail {
			view.Failed++
		}
		view.Steps = append(view.Steps, s)
	}
	return view
}

func beginCheck(c *Console, r *frame.Request) error {
	if _, err := c.Vault.Account(r.Context(), r.Mailbox); err != nil {
		if errors.Is(err, store.ErrNoMailbox) {
			return r.Refuse(http.StatusNotFound, "error.mailbox", "mailbox", r.Mailbox)
		}
		return err
	}
	if c.checks.start(r.Mailbox) != nil {
		return r.Refuse(http.StatusTooManyRequests, "check.busy")
	}
	return r.Redirect(frame.MailboxPath(r.Mailbox, "test"))
}

func checkPage(c *Console, r *frame.Request) error {
	view := checkView{}
	if run := c.checks.find(r.Mailbox); run != nil {
		view = run.view(r.User.Administrator())
	}
	view.Mailbox = r.Mailbox
	return r.Show("check", view)
}

func endCheck(c *Console, r *frame.Request) error {
	if run := c.checks.find(r.Mailbox); run != nil {
		run.stop()
	}
	return r.Redirect(frame.MailboxPath(r.Mailbox, "test"))
}
