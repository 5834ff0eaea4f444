package tokens

import (
	"sync"
	"time"
)

// hourlyLimits counts the messages sent with passwords that have an hourly limit.
// The count is in memory: all sessions of this process share it and a reload
// keeps it, but a restart resets it.
type hourlyLimits struct {
	now func() time.Time
	mu  sync.Mutex
	log map[string]*sentLog // by password ID
}

type sentLog struct {
	sent       []time.Time // within the last hour, oldest first
	inProgress int
}

// Message is the place of one message in the hourly limit of a password.
type Message struct {
	limits   *hourlyLimits // nil: the password has no limit
	password string        // its ID
	ended    bool
	counted  bool
}

// begin takes a place. If none is left, it returns nil and when to try again.
func (h *hourlyLimits) begin(password string, limit int) (m *Message, again time.Duration) {
	if limit == 0 {
		return &Message{}, 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	l, now := h.of(password), h.now()
	l.forget(now)
	if len(l.sent)+l.inProgress >= limit {
		if len(l.sent) > 0 {
			again = time.Hour - now.Sub(l.sent[0])
		}
		return nil, again
	}
	l.inProgress++
	return &Message{limits: h, password: password}, 0
}

// of returns the log of a password. The caller holds the lock.
func (h *hourlyLimits) of(password string) *sentLog {
	if h.log == nil {
		h.log = map[string]*sentLog{}
	}
	l := h.log[password]
	if l == nil {
		l = &sentLog{}
		h.log[password] = l
	}
	return l
}

// End reports what became of the message. If it was sent, it keeps its place for
// an hour, otherwise the place is free again. A message that turns out later to
// have been sent counts from then on.
func (m *Message) End(sent bool) {
	h := m.limits
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.of(m.password)
	if !m.ended {
		m.ended = true
		l.inProgress--
	}
	if sent && !m.counted {
		m.counted = true
		l.sent = append(l.sent, h.now())
	}
	if len(l.sent) == 0 && l.inProgress == 0 {
		delete(h.log, m.password)
	}
}

// forget drops the messages that are an hour old.
func (l *sentLog) forget(now time.Time) {
	old := 0
	for old < len(l.sent) && now.Sub(l.sent[old]) >= time.Hour {
		old++
	}
	l.sent = l.sent[old:]
}
