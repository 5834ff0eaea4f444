package alert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"authferry/internal/atomicfile"
	"authferry/tokens/oauth"
)

const (
	// gather is how long mailboxes are collected that get a trouble soon after
	// others had an alert about it: when a client is deleted, each mailbox fails
	// at its own next refresh. The time doubles while more mailboxes fail, up to
	// longestGather.
	gather        = 5 * time.Minute
	longestGather = time.Hour
)

// ledger has the alerts sent, by the trouble that the mailboxes have in common.
type ledger struct {
	Version int               `json:"version"`
	Groups  map[string]*group `json:"groups"`

	written []byte // the content of the file
}

const ledgerVersion = 1

// group is one trouble of one provider.
type group struct {
	Event    Event       `json:"event"`
	Cause    oauth.Cause `json:"cause,omitempty"`
	Provider string      `json:"provider"`

	Last time.Time     `json:"last,omitzero"` // the time of the last message
	Wait time.Duration `json:"wait,omitempty"`
	// Said has the mailboxes, and the time of the first alert for each; the zero
	// time for a recovery that is not reported yet.
	Said map[string]time.Time `json:"said,omitempty"`

	Owed  []string  `json:"owed,omitempty"`  // hooks that failed to deliver the last message
	Tried time.Time `json:"tried,omitzero"`  // the last try with them
	Tries int       `json:"tries,omitempty"` // tries in a row
}

// due is a message, the hooks to send it with, and its group.
type due struct {
	Message
	hooks []string
	group *group
	again bool // a retry: the log has it
}

// key returns what the conditions in one message have in common. The cause does not
// count while a token endpoint is unreachable: it changes from one try to the next.
func key(e Event, c oauth.Cause, provider string) string {
	if e == Unreachable {
		c = ""
	}
	return string(e) + "|" + string(c) + "|" + provider
}

// survey is the result of checking all mailboxes. A mailbox in no list was not
// readable: its state in the ledger does not change.
type survey struct {
	sick []Condition
	well []Condition // connected, without trouble
	gone []string    // removed or disconnected by a person
}

// group returns a group, and makes it if it does not exist.
func (l *ledger) group(e Event, c oauth.Cause, provider string) *group {
	k := key(e, c, provider)
	g := l.Groups[k]
	if g == nil {
		g = &group{Event: e, Cause: c, Provider: provider}
		l.Groups[k] = g
	}
	if g.Said == nil {
		g.Said = map[string]time.Time{}
	}
	return g
}

// update brings the ledger up to date with a survey and returns the messages that
// are due.
func (l *ledger) update(s survey, now time.Time, remind time.Duration, hooks []string) []due {
	sick := map[string][]Condition{}
	for _, is := range s.sick {
		g := l.group(is.Event, is.Cause, is.Provider)
		l.relapse(is, g, now)
		l.strike(is.Mailbox, g)
		k := key(is.Event, is.Cause, is.Provider)
		sick[k] = append(sick[k], is)
	}
	for _, is := range s.well {
		if l.strike(is.Mailbox, l.Groups[key(Recovered, "", is.Provider)]) {
			l.group(Recovered, "", is.Provider).Said[is.Mailbox] = time.Time{}
		}
	}
	for _, mailbox := range s.gone {
		l.strike(mailbox, nil)
	}
	var list []due
	for _, k := range slices.Sorted(maps.Keys(l.Groups)) {
		g := l.Groups[k]
		if g.Last.After(now) || g.Tried.After(now) { // the clock was set back
			g.Last, g.Tried = now, now
		}
		if d, ok := g.due(sick[k], now, remind, hooks); ok {
			list = append(list, d)
		}
		if len(g.Said) == 0 && len(g.Owed) == 0 && now.Sub(g.Last) > 2*longestGather {
			delete(l.Groups, k)
		}
	}
	return list
}

// relapse cancels the recovery of a mailbox, if it is not reported yet.
func (l *ledger) relapse(is Condition, g *group, now time.Time) {
	back := l.Groups[key(Recovered, "", is.Provider)]
	if back == nil {
		return
	}
	if said, ok := back.Said[is.Mailbox]; ok && said.IsZero() {
		g.Said[is.Mailbox] = now
	}
}

// strike removes a mailbox from every group but one, and reports whether it was in
// any.
func (l *ledger) strike(mailbox string, but *group) (found bool) {
	for _, g := range l.Groups {
		if _, ok := g.Said[mailbox]; ok && g != but {
			delete(g.Said, mailbox)
			found = found || g.Event != Recovered
		}
	}
	return found
}

// due returns the message of a group, if one is due. sick are the mailboxes that
// have the trouble now.
func (g *group) due(sick []Condition, now time.Time, remind time.Duration, hooks []string) (due, bool) {
	g.Owed = slices.DeleteFunc(g.Owed, func(h string) bool { return !slices.Contains(hooks, h) })
	if g.Event == Recovered {
		sick = g.recovered()
	}
	if len(sick) == 0 {
		g.Owed = nil
		return due{}, false
	}
	fresh := slices.ContainsFunc(sick, func(is Condition) bool { return !g.said(is) })
	d := due{group: g}
	switch {
	case fresh && (g.Last.IsZero() || now.Sub(g.Last) >= g.Wait):
	case g.Event != Recovered && !g.Last.IsZero() && now.Sub(g.Last) >= remind:
		d.Reminder = true
	case len(g.Owed) > 0 && now.Sub(g.Tried) >= min(gather<<min(g.Tries, 10), longestGather):
		d.again = true
	default:
		return due{}, false
	}
	slices.SortStableFunc(sick, func(a, b Condition) int { return order(g.said(a)) - order(g.said(b)) })
	d.Event, d.Cause, d.Provider, d.Mailboxes, d.Time = g.Event, sick[0].Cause, g.Provider, sick, now
	if d.again {
		g.Tries++
	} else {
		g.Owed, g.Tries = hooks, 0
		g.note(sick, now)
	}
	g.Tried = now
	d.hooks = slices.Clone(g.Owed)
	return d, true
}

// recovered returns the mailboxes to report as recovered: those not reported yet,
// or else those that a hook has failed to deliver.
func (g *group) recovered() []Condition {
	var fresh, said []Condition
	for _, mailbox := range slices.Sorted(maps.Keys(g.Said)) {
		is := Condition{Mailbox: mailbox, Provider: g.Provider, Event: Recovered}
		if g.said(is) {
			said = append(said, is)
		} else {
			fresh = append(fresh, is)
		}
	}
	if len(fresh) > 0 {
		return fresh
	}
	return said
}

func (g *group) said(is Condition) bool { return !g.Said[is.Mailbox].IsZero() }

// order sorts new mailboxes first.
func order(said bool) int {
	if said {
		return 1
	}
	return 0
}

// note records an alert for mailboxes.
func (g *group) note(sick []Condition, now time.Time) {
	if g.Last.IsZero() || now.Sub(g.Last) > 2*g.Wait {
		g.Wait = gather
	} else {
		g.Wait = min(2*g.Wait, longestGather)
	}
	g.Last = now
	if g.Event == Recovered {
		clear(g.Said)
	}
	for _, is := range sick {
		if !g.said(is) {
			g.Said[is.Mailbox] = now
		}
	}
}

// delivered records which hooks have failed to deliver a message.
func (d *due) delivered(owed []string) {
	d.group.Owed = owed
	if d.Event != Recovered || len(owed) > 0 {
		return
	}
	for _, is := range d.Mailboxes {
		delete(d.group.Said, is.Mailbox)
	}
}

// ledgerFile returns the path of the ledger in a store directory. Mailboxes have a
// directory of their own beside it.
func ledgerFile(dir string) string { return filepath.Join(dir, "alerts.json") }

// mostLedger bounds what is read: 300 bytes each for far more mailboxes than
// one server has.
const mostLedger = 64 << 20

// readLedger reads the ledger. It is empty if there is no file.
func readLedger(dir string) (*ledger, error) {
	l := &ledger{Version: ledgerVersion, Groups: map[string]*group{}}
	info, err := os.Stat(ledgerFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err == nil && info.Size() > mostLedger {
		err = fmt.Errorf("it has %d bytes", info.Size())
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(ledgerFile(dir))
	}
	if err == nil {
		return decodeLedger(data)
	}
	return l, fmt.Errorf("reading %s: %w", ledgerFile(dir), err)
}

func decodeLedger(data []byte) (*ledger, error) {
	none := &ledger{Version: ledgerVersion, Groups: map[string]*group{}}
	l := &ledger{}
	if err := json.Unmarshal(data, l); err != nil || l.Version != ledgerVersion || l.Groups == nil {
		return none, errors.New("the file of alerts already sent is damaged, or of another version: they are sent once more")
	}
	for k, g := range l.Groups {
		if g == nil || k != key(g.Event, g.Cause, g.Provider) || g.Wait < 0 || g.Wait > longestGather || g.Tries < 0 {
			delete(l.Groups, k)
		}
	}
	return l, nil
}

// write replaces the file if it changed.
func (l *ledger) write(dir string) error {
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if bytes.Equal(data, l.written) {
		return nil
	}
	if err := atomicfile.Write(ledgerFile(dir), data, 0o600); err != nil {
		return err
	}
	l.written = data
	return nil
}
