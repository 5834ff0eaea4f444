package alert

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"go.uber.org/zap"

	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// every is how often all mailboxes are checked, which costs a stat each. The
// ticker stands still while the machine sleeps; times are compared by the wall
// clock, so that after a sleep no alert is later than this.
const every = 30 * time.Second

// Watcher checks all mailboxes periodically and sends alerts.
type Watcher struct {
	vault     *tokens.Vault
	providers func() map[string]*oauth.Provider
	dir       string // of the store
	host      string
	log       *zap.Logger
	config    atomic.Pointer[Config]
	metrics   metrics

	// The rest belongs to Run.
	lock    *flock.Flock
	held    bool // the lock: one of the servers on a store sends alerts
	ledger  *ledger
	failing map[string]bool // hooks whose last delivery failed
	streaks map[string]bool // other troubles that have been logged and last

	now   func() time.Time
	pause func(context.Context, time.Duration) error
}

// Options are what a [Watcher] works with.
type Options struct {
	Vault     *tokens.Vault
	Providers func() map[string]*oauth.Provider // by name, as configured now
	Dir       string                            // of the store: the ledger is kept there
	Host      string                            // named in messages
	Log       *zap.Logger
	Config    Config
}

// NewWatcher returns a watcher that [Watcher.Run] starts.
func NewWatcher(o Options) *Watcher {
	w := &Watcher{
		vault: o.Vault, providers: o.Providers, dir: o.Dir, host: o.Host, log: o.Log,
		lock:    flock.New(filepath.Join(o.Dir, "alerts.lock"), flock.SetPermissions(0o600)),
		failing: map[string]bool{}, streaks: map[string]bool{},
		now: time.Now, pause: pause,
	}
	w.Configure(o.Config)
	return w
}

// Configure replaces the configuration, from the next check on.
func (w *Watcher) Configure(c Config) {
	c = c.WithDefaults()
	w.config.Store(&c)
}

// Look returns the condition of one mailbox now.
func (w *Watcher) Look(a *store.Account) Condition {
	at, certain := w.vault.NeedsPerson(a)
	return w.config.Load().Look(a, w.providers()[a.Provider], at, certain, w.now())
}

// Run watches until ctx is done.
func (w *Watcher) Run(ctx context.Context) {
	defer w.lock.Close()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		w.look(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look checks all mailboxes once and sends the alerts that are due.
func (w *Watcher) look(ctx context.Context) {
	s, ok := w.survey(ctx)
	if !ok || !w.mayspeak() {
		return
	}
	c := w.config.Load()
	list := w.ledger.update(s, w.now().UTC().Round(0), c.Remind, c.Hooks())
	w.write()
	for i := range list {
		w.say(ctx, &list[i])
	}
	if len(list) > 0 {
		w.write()
	}
}

// survey checks all mailboxes. ok is false if the store cannot be listed.
func (w *Watcher) survey(ctx context.Context) (s survey, ok bool) {
	names, err := w.vault.Mailboxes(ctx)
	if w.trouble(ctx, "the mailboxes cannot be watched", "", err) {
		return s, false
	}
	person, conditions := map[string]time.Time{}, map[Event]int{}
	s.gone = w.missing(names)
	for _, name := range names {
		a, err := w.vault.Account(ctx, name)
		if errors.Is(err, store.ErrNoMailbox) { // removed just now
			s.gone, err = append(s.gone, name), nil
			continue
		}
		if w.trouble(ctx, "a mailbox cannot be watched", name, err) {
			continue
		}
		is := w.Look(a)
		switch {
		case a.Provider == "":
			s.gone = append(s.gone, name)
			continue
		case is.Event == "":
			s.well = append(s.well, is)
		default:
			s.sick = append(s.sick, is)
			conditions[is.Event]++
		}
		if at, _ := w.vault.NeedsPerson(a); is.Event == GrantEnded {
			person[name] = is.At
		} else if !at.IsZero() {
			person[name] = at
		}
	}
	w.metrics.surveyed(person, conditions)
	return s, ctx.Err() == nil
}

// missing returns the mailboxes that are in the ledger and no longer in the store.
func (w *Watcher) missing(names []string) (gone []string) {
	if w.ledger == nil {
		return nil
	}
	for _, g := range w.ledger.Groups {
		for mailbox := range g.Said {
			if _, there := slices.BinarySearch(names, mailbox); !there {
				gone = append(gone, mailbox)
			}
		}
	}
	return gone
}

// mayspeak takes the lock, unless another server on the same store has it. On a
// file system without locks every server may send alerts.
func (w *Watcher) mayspeak() bool {
	if w.held {
		return true
	}
	locked, err := w.lock.TryLock()
	if err != nil {
		w.trouble(context.Background(), "the alerts cannot be locked: two servers on one store would both send them", "", err)
	} else if !locked {
		return false
	}
	w.held = true
	w.ledger, err = readLedger(w.dir)
	w.trouble(context.Background(), "what was said before is not known", "", err)
	return true
}

func (w *Watcher) write() {
	w.trouble(context.Background(), "what was said cannot be written down, and would be said again after a restart", "", w.ledger.write(w.dir))
}

// trouble reports whether there is an error, and logs it once while it lasts.
func (w *Watcher) trouble(ctx context.Context, what, mailbox string, err error) bool {
	if ctx.Err() != nil {
		return true
	}
	k := what + " " + mailbox
	if err == nil {
		delete(w.streaks, k)
		return false
	}
	if !w.streaks[k] {
		log := w.log
		if mailbox != "" {
			log = log.With(zap.String("mailbox", mailbox))
		}
		log.Warn(what, zap.Error(err))
	}
	w.streaks[k] = true
	return true
}

// say logs a message, a line for each mailbox, and sends it with the hooks.
func (w *Watcher) say(ctx context.Context, d *due) {
	if !d.again {
		for _, is := range d.Mailboxes {
			w.logCondition(is, d.Event, d.Reminder)
		}
	}
	var owed []string
	results := w.deliver(ctx, d.Message, webhookTries, func(name string) bool { return slices.Contains(d.hooks, name) })
	for _, r := range results {
		if ctx.Err() != nil && r.Err != nil { // the server is stopping: not an error of the hook
			owed = append(owed, r.Hook)
			continue
		}
		w.report(r, d.Event)
		if r.Err != nil {
			owed = append(owed, r.Hook)
		}
	}
	d.delivered(owed)
}

// logCondition logs one mailbox. The messages are stable: people search for them.
func (w *Watcher) logCondition(is Condition, e Event, reminder bool) {
	fields := []zap.Field{zap.String("mailbox", is.Mailbox), zap.String("provider", is.Provider)}
	if e == Recovered {
		w.log.Info("mailbox recovered", fields...)
		return
	}
	fields = append(fields, zap.String("cause", string(is.Cause)))
	switch {
	case !is.At.IsZero():
		fields = append(fields, zap.Time("at", is.At))
	case !is.Since.IsZero():
		fields = append(fields, zap.Time("since", is.Since))
	}
	fields = append(fields, zap.String("fix", is.Advice.Fix), zap.Bool("reminder", reminder))
	switch e {
	case GrantEnding:
		w.log.Warn("grant ends soon", fields...)
	case GrantEnded:
		w.log.Error("grant needs a person", fields...)
	case Refused:
		w.log.Error("provider refuses for long", fields...)
	case Unreachable:
		w.log.Warn("token endpoint out of reach for long", fields...)
	}
}

// Snapshot is the state of a [Watcher]'s metrics at one moment.
type Snapshot struct {
	// UntilPerson has, by mailbox, the time until a person is needed; negative
	// if that time has passed. A mailbox whose grant has no foreseeable end is
	// not in it.
	UntilPerson map[string]time.Duration
	// Conditions counts the mailboxes with trouble by their event.
	Conditions map[Event]int
	// Sent and Failed count messages by hook: "command", "webhook", "mail".
	Sent, Failed map[string]int64
}

// metrics are the values of a Snapshot.
type metrics struct {
	mu           sync.Mutex
	person       map[string]time.Time
	conditions   map[Event]int
	sent, failed map[string]int64
}

// Snapshot returns the metrics now.
func (w *Watcher) Snapshot() Snapshot {
	m := &w.metrics
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Snapshot{UntilPerson: map[string]time.Duration{}, Conditions: map[Event]int{}, Sent: map[string]int64{}, Failed: map[string]int64{}}
	now := w.now()
	for mailbox, at := range m.person {
		s.UntilPerson[mailbox] = at.Sub(now)
	}
	maps.Copy(s.Conditions, m.conditions)
	maps.Copy(s.Sent, m.sent)
	maps.Copy(s.Failed, m.failed)
	return s
}

func (m *metrics) surveyed(person map[string]time.Time, conditions map[Event]int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.person, m.conditions = person, conditions
}

// delivered counts a message sent with a hook, or an error.
func (m *metrics) delivered(hook string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sent == nil {
		m.sent, m.failed = map[string]int64{}, map[string]int64{}
	}
	if err != nil {
		m.failed[hook]++
		return
	}
	m.sent[hook]++
}
