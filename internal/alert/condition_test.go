package alert

import (
	"testing"
	"time"

	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// TestLook has a row for each event, and rows for mailboxes without one.
func TestLook(t *testing.T) {
	p := &oauth.Provider{Name: "gmail"}
	failing := func(c oauth.Cause, since, at time.Duration) *store.Failure {
		return &store.Failure{Cause: c, Since: day.Add(-since), At: day.Add(-at), Reason: "why"}
	}
	ends := func(in time.Duration) oauth.Token { return oauth.Token{RefreshExpiry: day.Add(in)} }
	for _, row := range []struct {
		name  string
		a     store.Account
		p     *oauth.Provider
		event Event
		cause oauth.Cause
	}{
		{"well", store.Account{}, p, "", ""},
		{"ends in four days", store.Account{Token: ends(96 * time.Hour)}, p, "", ""},
		{"ends in three", store.Account{Token: ends(72 * time.Hour)}, p, GrantEnding, oauth.CauseTesting},
		{"has ended, nobody tried", store.Account{Token: ends(-time.Minute)}, p, GrantEnded, oauth.CauseTesting},
		{"dead", store.Account{Dead: failing(oauth.CauseRevoked, time.Second, 0)}, p, GrantEnded, oauth.CauseRevoked},
		{"dead, and then unreachable", store.Account{Dead: failing(oauth.CauseRevoked, 0, 0), Trouble: failing(oauth.CauseOutage, 9*time.Hour, 0)}, p, GrantEnded, oauth.CauseRevoked},
		{"a blip", store.Account{Trouble: failing(oauth.CauseOutage, 50*time.Minute, 0)}, p, "", ""},
		{"one failure, long ago", store.Account{Trouble: failing(oauth.CauseOutage, 9*time.Hour, 9*time.Hour)}, p, "", ""},
		{"an outage", store.Account{Trouble: failing(oauth.CauseOutage, 2*time.Hour, 0)}, p, Unreachable, oauth.CauseOutage},
		{"of unknown cause", store.Account{Trouble: failing("", 2*time.Hour, 0)}, p, Unreachable, ""},
		{"refused just now", store.Account{Trouble: failing(oauth.CauseClientDeleted, time.Minute, 0)}, p, "", ""},
		{"refused", store.Account{Trouble: failing(oauth.CauseClientDeleted, 10*time.Minute, 10*time.Minute)}, p, Refused, oauth.CauseClientDeleted},
		{"an outage, and ends soon", store.Account{Token: ends(time.Hour), Trouble: failing(oauth.CauseOutage, 2*time.Hour, 0)}, p, GrantEnding, oauth.CauseTesting},
		{"not configured", store.Account{}, nil, Refused, causeNotConfigured},
		{"the clock was wrong", store.Account{Trouble: failing(oauth.CauseClientDeleted, -time.Hour, -time.Hour)}, p, "", ""},
	} {
		row.a.Mailbox, row.a.Provider = "a@x.org", "gmail"
		at := row.a.Token.RefreshExpiry
		is := Config{}.Look(&row.a, row.p, at, !at.IsZero(), day)
		if is.Event != row.event || is.Cause != row.cause {
			t.Errorf("%s: %q %q, want %q %q", row.name, is.Event, is.Cause, row.event, row.cause)
		}
		if is.Event != "" && is.Advice.Fix == "" {
			t.Errorf("%s: no fix", row.name)
		}
	}
	disconnected := store.Account{Mailbox: "a@x.org", Dead: failing(oauth.CauseRevoked, 0, 0)}
	if is := (Config{}).Look(&disconnected, nil, time.Time{}, false, day); is.Event != "" {
		t.Errorf("disconnected: %q", is.Event)
	}
}
