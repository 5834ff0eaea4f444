package console

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"authferry/internal/check"
	"authferry/tokens/store"
)

// trials walk the way of a login for mailboxes, as `authferry check` does, while
// somebody looks on:
//
//	POST /mailboxes/{mailbox}/test          begins one, or joins the one under way
//	GET  /mailboxes/{mailbox}/test          its steps so far
//	POST /mailboxes/{mailbox}/test/cancel   ends it
type trials struct {
	console *Console
	mu      sync.Mutex
	of      map[string]*trial
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	closed  bool
}

// trial is one of a mailbox.
type trial struct {
	mu    sync.Mutex
	steps []check.Step
	began time.Time
	ended time.Time
	stop  context.CancelFunc
}

const (
	// trialTime bounds a trial: every step of it bounds itself.
	trialTime = 4 * time.Minute
	// trialMemory is how long its steps can be looked at.
	trialMemory = time.Hour
	// mostTrials are under way at a time, of all mailboxes.
	mostTrials = 8
)

var errTrials = errors.New("too many mailboxes are being tested")

func (c *Console) mountTrial() {
	ctx, cancel := context.WithCancel(context.Background())
	t := &trials{console: c, of: map[string]*trial{}, ctx: ctx, cancel: cancel}
	c.closers = append(c.closers, t.close)
	c.handle("POST /mailboxes/{mailbox}/test", signedIn, t.begin)
	c.handle("GET /mailboxes/{mailbox}/test", signedIn, t.page)
	c.handle("POST /mailboxes/{mailbox}/test/cancel", signedIn, t.end)
}

func (l *trials) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cancel()
	l.running.Wait()
}

// start starts a trial of a mailbox, unless one is under way.
func (l *trials) start(mailbox string) error {
	now := l.console.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	under := 0
	for name, t := range l.of {
		switch ended := t.over(); {
		case ended.IsZero():
			under++
		case now.Sub(ended) > trialMemory:
			delete(l.of, name)
		}
	}
	if t := l.of[mailbox]; t != nil && t.over().IsZero() {
		return nil
	}
	if l.closed || under >= mostTrials {
		return errTrials
	}
	ctx, stop := context.WithTimeout(l.ctx, trialTime)
	t := &trial{began: now, stop: stop}
	l.of[mailbox] = t
	l.running.Go(func() {
		l.console.Check(ctx, mailbox, t.add)
		t.finish(l.console.now())
		stop()
	})
	return nil
}

func (t *trial) add(s check.Step) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.steps = append(t.steps, s)
}

func (t *trial) finish(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = now
}

// over is when it ended; zero: it has not.
func (t *trial) over() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ended
}

func (l *trials) find(mailbox string) *trial {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of[mailbox]
}

// trialView is a trial on a page.
type trialView struct {
	Mailbox string
	Steps   []check.Step
	Known   bool // there was a trial
	Running bool
	Failed  int
	Ended   time.Time
	Follow  bool
}

// seen is what somebody may see of a trial: what is about the installation as a
// whole is for administrators.
func (t *trial) seen(all bool) trialView {
	t.mu.Lock()
	defer t.mu.Unlock()
	view := trialView{Known: true, Running: t.ended.IsZero(), Follow: t.ended.IsZero(), Ended: t.ended}
	for _, s := range t.steps {
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

func (l *trials) begin(v *visit) error {
	if _, err := v.Vault.Account(v.r.Context(), v.mailbox); err != nil {
		if errors.Is(err, store.ErrNoMailbox) {
			return v.refuse(http.StatusNotFound, "error.mailbox", "mailbox", v.mailbox)
		}
		return err
	}
	if l.start(v.mailbox) != nil {
		return v.refuse(http.StatusTooManyRequests, "trial.busy")
	}
	return v.redirect(mailboxPath(v.mailbox, "test"))
}

func (l *trials) page(v *visit) error {
	view := trialView{}
	if t := l.find(v.mailbox); t != nil {
		view = t.seen(v.user.administrator())
	}
	view.Mailbox = v.mailbox
	return v.show("trial", view)
}

func (l *trials) end(v *visit) error {
	if t := l.find(v.mailbox); t != nil {
		t.stop()
	}
	return v.redirect(mailboxPath(v.mailbox, "test"))
}
