package alert

import (
	"testing"
	"time"

	"authferry/tokens"
)

// TestLook: one row for each thing there is to say, and for what is nobody's
// business.
func TestLook(t *testing.T) {
	p := &tokens.Provider{Name: "gmail"}
	failing := func(c tokens.Cause, since, at time.Duration) *tokens.Failure {
		return &tokens.Failure{Cause: c, Since: day.Add(-since), At: day.Add(-at), Reason: "why"}
	}
	ends := func(in time.Duration) tokens.Token { return tokens.Token{RefreshExpiry: day.Add(in)} }
	for _, row := range []struct {
		name  string
		a     tokens.Account
		p     *tokens.Provider
		event Event
		cause tokens.Cause
	}{
		{"well", tokens.Account{}, p, "", ""},
		{"ends in four days", tokens.Account{Token: ends(96 * time.Hour)}, p, "", ""},
		{"ends in three", tokens.Account{Token: ends(72 * time.Hour)}, p, GrantEnding, tokens.CauseTesting},
		{"has ended, nobody tried", tokens.Account{Token: ends(-time.Minute)}, p, GrantEnded, tokens.CauseTesting},
		{"dead", tokens.Account{Dead: failing(tokens.CauseRevoked, time.Second, 0)}, p, GrantEnded, tokens.CauseRevoked},
		{"dead, and then unreachable", tokens.Account{Dead: failing(tokens.CauseRevoked, 0, 0), Trouble: failing(tokens.CauseOutage, 9*time.Hour, 0)}, p, GrantEnded, tokens.CauseRevoked},
		{"a blip", tokens.Account{Trouble: failing(tokens.CauseOutage, 50*time.Minute, 0)}, p, "", ""},
		{"one failure, long ago", tokens.Account{Trouble: failing(tokens.CauseOutage, 9*time.Hour, 9*time.Hour)}, p, "", ""},
		{"an outage", tokens.Account{Trouble: failing(tokens.CauseOutage, 2*time.Hour, 0)}, p, Unreachable, tokens.CauseOutage},
		{"of unknown cause", tokens.Account{Trouble: failing("", 2*time.Hour, 0)}, p, Unreachable, ""},
		{"refused just now", tokens.Account{Trouble: failing(tokens.CauseClientDeleted, time.Minute, 0)}, p, "", ""},
		{"refused", tokens.Account{Trouble: failing(tokens.CauseClientDeleted, 10*time.Minute, 10*time.Minute)}, p, Refused, tokens.CauseClientDeleted},
		{"an outage, and ends soon", tokens.Account{Token: ends(time.Hour), Trouble: failing(tokens.CauseOutage, 2*time.Hour, 0)}, p, GrantEnding, tokens.CauseTesting},
		{"not configured", tokens.Account{}, nil, Refused, causeNotConfigured},
		{"the clock was wrong", tokens.Account{Trouble: failing(tokens.CauseClientDeleted, -time.Hour, -time.Hour)}, p, "", ""},
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
	disconnected := tokens.Account{Mailbox: "a@x.org", Dead: failing(tokens.CauseRevoked, 0, 0)}
	if is := (Config{}).Look(&disconnected, nil, time.Time{}, false, day); is.Event != "" {
		t.Errorf("disconnected: %q", is.Event)
	}
}
