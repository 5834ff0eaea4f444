package tokens

import (
	"sync"
	"time"
)

// hourly counts what has been sent with passwords that have a limit to it, in
// memory: all sessions of this process share the count and a reload keeps it,
// but a restart begins anew.
type hourly struct {
	mu  sync.Mutex
	log map[string]*sentLog // by password ID
}

type sentLog struct {
	sent     []time.Time // within the last hour, oldest first
	underWay int
}

// Message is a place in the hour of a password, taken by a message under way.
type Message struct {
	vault    *Vault
	password string // its ID; empty: no limit
	ended    bool
	counted  bool
}

// BeginMessage takes a place for a message that is about to be sent. If the
// hour has no more, it returns nil and when to try again.
func (v *Vault) BeginMessage(g *Grant) (m *Message, again time.Duration) {
	limit := g.Password.MessagesPerHour
	if limit == 0 {
		return &Message{vault: v}, 0
	}
	h := &v.hourly
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.log == nil {
		h.log = map[string]*sentLog{}
	}
	l := h.log[g.PasswordID]
	if l == nil {
		l = &sentLog{}
		h.log[g.PasswordID] = l
	}
	now := v.now()
	l.forget(now)
	if len(l.sent)+l.underWay >= limit {
		if len(l.sent) > 0 {
			again = time.Hour - now.Sub(l.sent[0])
		}
		return nil, again
	}
	l.underWay++
	return &Message{vault: v, password: g.PasswordID}, 0
}

// End settles the place: a message that was sent keeps it for an hour, another
// gives it back. One that turns out to have been sent after all counts then.
func (m *Message) End(sent bool) {
	if m.password == "" {
		return
	}
	h := &m.vault.hourly
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.log[m.password]
	if l == nil {
		l = &sentLog{}
		h.log[m.password] = l
	}
	if !m.ended {
		m.ended = true
		l.underWay--
	}
	if sent && !m.counted {
		m.counted = true
		l.sent = append(l.sent, m.vault.now())
	}
	if len(l.sent) == 0 && l.underWay == 0 {
		delete(h.log, m.password)
	}
}

func (l *sentLog) forget(now time.Time) {
	old := 0
	for old < len(l.sent) && now.Sub(l.sent[old]) >= time.Hour {
		old++
	}
	l.sent = l.sent[old:]
}
