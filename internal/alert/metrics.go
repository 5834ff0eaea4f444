package alert

import (
	"maps"
	"sync"
	"time"
)

// Snapshot is the state of a [Watcher]'s metrics at one moment.
type Snapshot struct {
	// UntilPerson has, by mailbox, the time until a person is needed; negative
	// if that was so long ago. A mailbox whose grant has no foreseeable end is
	// not in it.
	UntilPerson map[string]time.Duration
	// Conditions counts the mailboxes by what there is to say of them.
	Conditions map[Event]int
	// Sent and Failed count messages by hook: "command", "webhook", "mail".
	Sent, Failed map[string]int64
}

// metrics is what a Snapshot is made of.
type metrics struct {
	mu           sync.Mutex
	person       map[string]time.Time
	conditions   map[Event]int
	sent, failed map[string]int64
}

// Snapshot reads all of the metrics.
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

// delivered counts a message given to a hook, or not.
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
