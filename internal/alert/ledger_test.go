package alert

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"authferry/tokens/oauth"
)

var day = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func newLedger() *ledger { return &ledger{Version: ledgerVersion, Groups: map[string]*group{}} }

func sickWith(e Event, c oauth.Cause, mailboxes ...string) (list []Condition) {
	for _, m := range mailboxes {
		list = append(list, Condition{Mailbox: m, Provider: "gmail", Event: e, Cause: c})
	}
	return list
}

func numbered(n int) (mailboxes []string) {
	for i := range n {
		mailboxes = append(mailboxes, fmt.Sprintf("m%03d@example.org", i))
	}
	return mailboxes
}

// say updates a ledger and has every hook take every message.
func say(l *ledger, s survey, now time.Time) []due {
	list := l.update(s, now, DefaultRemind, []string{hookCommand})
	for i := range list {
		list[i].delivered(nil)
	}
	return list
}

// TestReminders: what lasts is said once, then at the interval, whatever the
// number of looks.
func TestReminders(t *testing.T) {
	l := newLedger()
	var said []time.Duration
	for at := time.Duration(0); at <= 49*time.Hour; at += every {
		for _, d := range say(l, survey{sick: sickWith(GrantEnded, oauth.CauseRevoked, "a@x.org")}, day.Add(at)) {
			said = append(said, at)
			if d.Reminder != (at > 0) {
				t.Errorf("at %s: reminder %v", at, d.Reminder)
			}
		}
	}
	if want := []time.Duration{0, 24 * time.Hour, 48 * time.Hour}; !slices.Equal(said, want) {
		t.Errorf("said at %v, want %v", said, want)
	}
}

// TestFlood: a hundred mailboxes at once are one message; a hundred that fall
// one after the other in an hour are a few, and every one is named in time.
func TestFlood(t *testing.T) {
	l := newLedger()
	list := say(l, survey{sick: sickWith(Refused, oauth.CauseClientDeleted, numbered(100)...)}, day)
	if len(list) != 1 || len(list[0].Mailboxes) != 100 {
		t.Fatalf("%d messages", len(list))
	}
	l = newLedger()
	messages, named := 0, 0
	for at := time.Duration(0); at <= 3*time.Hour; at += every {
		fallen := min(int(at*100/time.Hour)+1, 100)
		for _, d := range say(l, survey{sick: sickWith(Refused, oauth.CauseClientDeleted, numbered(fallen)...)}, day.Add(at)) {
			messages++
			named = len(d.Mailboxes)
		}
	}
	if messages > 6 || named != 100 {
		t.Errorf("%d messages, the last of which names %d", messages, named)
	}
}

// TestCauseChanges: another cause is another message, the way in which a token
// endpoint is out of reach is not.
func TestCauseChanges(t *testing.T) {
	l := newLedger()
	for i, step := range []struct {
		e    Event
		c    oauth.Cause
		want int
	}{
		{GrantEnding, oauth.CauseTesting, 1}, {GrantEnded, oauth.CauseTesting, 1}, {GrantEnded, oauth.CauseTesting, 0},
		{Refused, oauth.CausePolicy, 1}, {Refused, oauth.CauseClientDeleted, 1},
		{Unreachable, oauth.CauseOutage, 1}, {Unreachable, oauth.CauseThrottled, 0},
	} {
		list := say(l, survey{sick: sickWith(step.e, step.c, "a@x.org")}, day.Add(time.Duration(i)*every))
		if len(list) != step.want {
			t.Errorf("%s, %s: %d messages, want %d", step.e, step.c, len(list), step.want)
		}
		if len(list) == 1 && list[0].Event != step.e {
			t.Errorf("%s said as %s", step.e, list[0].Event)
		}
	}
}

// TestRecovery: a mailbox with an alert is reported as recovered once, one without is
// not; a mailbox that was removed or cannot be read has not recovered.
func TestRecovery(t *testing.T) {
	well := []Condition{{Mailbox: "a@x.org", Provider: "gmail"}}
	l := newLedger()
	if list := say(l, survey{well: well}, day); len(list) != 0 {
		t.Fatalf("nothing was said, and %v is taken back", list)
	}
	say(l, survey{sick: sickWith(GrantEnded, oauth.CauseRevoked, "a@x.org")}, day)
	if list := say(l, survey{}, day.Add(every)); len(list) != 0 {
		t.Fatalf("a mailbox that cannot be read: %v", list)
	}
	list := say(l, survey{well: well}, day.Add(2*every))
	if len(list) != 1 || list[0].Event != Recovered || list[0].Mailboxes[0].Mailbox != "a@x.org" {
		t.Fatalf("recovered: %v", list)
	}
	for at := 3 * every; at < 30*time.Hour; at += time.Minute {
		if list := say(l, survey{well: well}, day.Add(at)); len(list) != 0 {
			t.Fatalf("taken back twice: %v", list)
		}
	}
	if len(l.Groups) != 0 {
		t.Errorf("left over: %v", l.Groups)
	}
	say(l, survey{sick: sickWith(GrantEnded, oauth.CauseRevoked, "a@x.org")}, day)
	if list := say(l, survey{gone: []string{"a@x.org"}}, day.Add(every)); len(list) != 0 {
		t.Errorf("removed: %v", list)
	}
}

// TestRecoveryThatDidNotLast: a mailbox that falls again before its recovery
// was said is not news.
func TestRecoveryThatDidNotLast(t *testing.T) {
	l := newLedger()
	sick := survey{sick: sickWith(Unreachable, "", "a@x.org", "b@x.org")}
	say(l, sick, day)
	half := survey{sick: sickWith(Unreachable, "", "b@x.org"), well: []Condition{{Mailbox: "a@x.org", Provider: "gmail"}}}
	if list := say(l, half, day.Add(time.Minute)); len(list) != 1 {
		t.Fatal("the first recovery is said at once")
	}
	other := survey{sick: sickWith(Unreachable, "", "a@x.org"), well: []Condition{{Mailbox: "b@x.org", Provider: "gmail"}}}
	if list := say(l, other, day.Add(2*time.Minute)); len(list) != 0 {
		t.Fatalf("both wait for their groups: %v", list)
	}
	list := say(l, sick, day.Add(20*time.Minute))
	if len(list) != 1 || list[0].Event != Unreachable || list[0].Mailboxes[0].Mailbox != "a@x.org" {
		t.Errorf("a has fallen again, b has never been said to be well: %v", list)
	}
	if list := say(l, sick, day.Add(3*time.Hour)); len(list) != 0 {
		t.Errorf("%v", list)
	}
}

// TestOwed: a hook that fails gets the message later, by itself, and not more
// often than once an hour in the end; a new mailbox does not wait for that.
func TestOwed(t *testing.T) {
	l := newLedger()
	hooks := []string{hookCommand, hookWebhook}
	s := survey{sick: sickWith(GrantEnded, oauth.CauseRevoked, "a@x.org")}
	tries := 0
	for at := time.Duration(0); at < 12*time.Hour; at += every {
		for _, d := range l.update(s, day.Add(at), DefaultRemind, hooks) {
			tries++
			if at > 0 && (!slices.Equal(d.hooks, []string{hookWebhook}) || !d.again || d.Reminder) {
				t.Fatalf("at %s: %v again %v reminder %v", at, d.hooks, d.again, d.Reminder)
			}
			d.delivered([]string{hookWebhook})
		}
	}
	if tries < 12 || tries > 16 {
		t.Errorf("%d tries in 12 hours", tries)
	}
	s.sick = append(s.sick, sickWith(GrantEnded, oauth.CauseRevoked, "b@x.org")...)
	list := l.update(s, day.Add(12*time.Hour), DefaultRemind, hooks)
	if len(list) != 1 || !slices.Equal(list[0].hooks, hooks) || list[0].Mailboxes[0].Mailbox != "b@x.org" {
		t.Errorf("a second mailbox: %v", list)
	}
	list[0].delivered([]string{hookWebhook})
	if list := l.update(s, day.Add(20*time.Hour), DefaultRemind, hooks[:1]); len(list) != 0 {
		t.Errorf("a hook that is not configured any more is owed: %v", list)
	}
}

// TestRecoveryOwed: a recovery that one hook does not take keeps no later one
// from the others.
func TestRecoveryOwed(t *testing.T) {
	l := newLedger()
	hooks := []string{hookCommand, hookWebhook}
	well := []Condition{{Mailbox: "a@x.org", Provider: "gmail"}}
	say(l, survey{sick: sickWith(GrantEnded, "", "a@x.org", "b@x.org")}, day)
	list := l.update(survey{sick: sickWith(GrantEnded, "", "b@x.org"), well: well}, day.Add(time.Hour), DefaultRemind, hooks)
	list[0].delivered([]string{hookWebhook})
	well = append(well, Condition{Mailbox: "b@x.org", Provider: "gmail"})
	list = l.update(survey{well: well}, day.Add(2*time.Hour), DefaultRemind, hooks)
	if len(list) != 1 || len(list[0].Mailboxes) != 1 || list[0].Mailboxes[0].Mailbox != "b@x.org" || !slices.Equal(list[0].hooks, hooks) {
		t.Errorf("%v", list)
	}
}

// TestClockSetBack: a message of the future does not silence the present.
func TestClockSetBack(t *testing.T) {
	l := newLedger()
	s := survey{sick: sickWith(GrantEnded, "", "a@x.org")}
	say(l, s, day.AddDate(1, 0, 0))
	if list := say(l, s, day); len(list) != 0 {
		t.Error("said twice")
	}
	if list := say(l, s, day.Add(DefaultRemind)); len(list) != 1 {
		t.Error("no reminder")
	}
}

// TestLedgerFile: it survives a restart, for its owner alone, and damage costs
// a repetition only.
func TestLedgerFile(t *testing.T) {
	dir := t.TempDir()
	l := newLedger()
	s := survey{sick: sickWith(GrantEnded, oauth.CauseRevoked, "a@x.org")}
	say(l, s, day)
	if err := l.write(dir); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(ledgerFile(dir)); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	again, err := readLedger(dir)
	if err != nil {
		t.Fatal(err)
	}
	if list := say(again, s, day.Add(time.Hour)); len(list) != 0 {
		t.Errorf("said again after a restart: %v", list)
	}
	if err := os.WriteFile(ledgerFile(dir), []byte(`{"version":1,"groups"`), 0o600); err != nil {
		t.Fatal(err)
	}
	damaged, err := readLedger(dir)
	if err == nil || len(say(damaged, s, day)) != 1 {
		t.Errorf("damaged: %v", err)
	}
	if err := damaged.write(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("written into a directory that is not there")
	}
}

// FuzzLedger: whatever is in the file, nothing breaks, and what is new is said.
func FuzzLedger(f *testing.F) {
	f.Add([]byte(`{"version":1,"groups":{"grant-ended||gmail":{"event":"grant-ended","provider":"gmail","said":{"a@x.org":"2026-11-21T09:00:00Z"},"owed":["mail"],"tries":9}}}`))
	f.Add([]byte(`{"version":1,"groups":{"x":null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := decodeLedger(data)
		if err != nil && len(l.Groups) != 0 {
			t.Error("half a ledger")
		}
		say(l, survey{sick: sickWith(Refused, "never-seen", "new@x.org"), well: []Condition{{Mailbox: "a@x.org", Provider: "gmail"}}}, day)
		if l.Groups[key(Refused, "never-seen", "gmail")].Said["new@x.org"].IsZero() {
			if g := l.Groups[key(Refused, "never-seen", "gmail")]; g.Wait == 0 {
				t.Error("not said")
			}
		}
	})
}
