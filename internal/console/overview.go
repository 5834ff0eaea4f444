package console

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"authferry/proxy"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

func (c *Console) mountOverview() {
	c.handle("GET /{$}", signedIn, (*visit).overview)
}

// soon is how long before the foreseeable end of a grant it is pointed out.
const soon = 7 * 24 * time.Hour

// condition is how a mailbox is, in words.
type condition struct {
	*store.Account
	State   store.State
	Level   string // a class of the style sheet: "good", "warn", "bad" or "off"
	Title   string // the state in a word or two
	Words   string // what is wrong, if anything is
	Fix     string // what to do about it
	Detail  string // the fix in the words of the log, where these tell more
	Page    string // to do it on
	Reason  string // what the provider said, or the network
	Since   time.Time
	Needs   time.Time // when a person is needed; zero: not foreseen
	Ends    bool      // it is the end of the grant that is foreseen
	Used    []store.Use
	Live    int  // sessions
	Broken  bool // it cannot be read
	Connect bool // connecting it again is the fix
}

const unreadableState store.State = "unreadable"

// stateLevels are the classes of the states.
var stateLevels = map[store.State]string{
	store.StateFresh: "good", store.StateStale: "good", store.StateRefreshing: "good",
	store.StateUnreachable: "warn", store.StateNeedsConsent: "bad", unreadableState: "bad", store.StateDisconnected: "off",
}

// condition looks at a mailbox.
func (v *visit) condition(a *store.Account, sessions []proxy.SessionInfo) condition {
	a, live := withLive(a, sessions)
	s := condition{Account: a, State: v.Vault.State(a), Live: live, Used: lastUses(a)}
	s.Level, s.Title = stateLevels[s.State], v.T("state."+string(s.State))
	f, at := a.Failure(), time.Time{}
	if f != nil {
		s.Reason, s.Since = f.Reason, f.Since
	}
	at, _ = v.Vault.NeedsPerson(a)
	s.Needs = at
	s.Ends = f == nil && !at.IsZero()
	advice, known := v.Vault.Advice(a)
	if known {
		s.Words, s.Page = advice.Words, advice.Page
		s.Fix = advice.Fix
	}
	if key := causeKey(f); key != "" && v.Has(key+".words") {
		s.Words = v.T(key+".words", "provider", a.Provider, "mailbox", a.Mailbox)
		s.Fix, s.Connect = v.T(key+".fix", "provider", a.Provider, "mailbox", a.Mailbox), causeConnects(f.Cause)
		switch f.Cause { // whose fix names a client, a scope or a table
		case oauth.CausePolicy, oauth.CauseClientDeleted, oauth.CauseClient, oauth.CauseDelegation:
			s.Detail = advice.Fix
		}
	}
	switch {
	case s.State == store.StateDisconnected:
		s.Words, s.Fix, s.Connect = v.T("cause.disconnected.words"), v.T("cause.disconnected.fix"), true
	case s.Ends && at.Sub(v.now()) < soon:
		s.Level = "warn"
		s.Words, s.Fix, s.Connect = v.T("cause.ends.words", "span", v.Until(at)), v.T("cause.ends.fix"), true
	case f != nil && a.Trouble == f && !at.IsZero() && s.Level == "warn":
		s.Level = "bad" // it lasts until somebody does something
		s.Title = v.T("state.refused")
	}
	return s
}

// causeKey is where the texts about a failure are.
func causeKey(f *store.Failure) string {
	switch {
	case f == nil:
		return ""
	case f.Cause == oauth.CauseUnknown:
		return "cause.unknown"
	}
	return "cause." + string(f.Cause)
}

// causeConnects tells the causes that connecting the mailbox again mends.
func causeConnects(c oauth.Cause) bool {
	switch c {
	case oauth.CauseRevoked, oauth.CauseTesting, oauth.CauseSessionControl, oauth.CauseNoGrant, oauth.CauseInteraction, oauth.CauseUnknown:
		return true
	}
	return false
}

// lastUses are the last logins by protocol, as far as the passwords remember.
func lastUses(a *store.Account) []store.Use {
	latest := map[string]store.Use{}
	for _, p := range a.Passwords {
		if u := p.LastUsed; u.At.After(latest[u.Protocol].At) {
			latest[u.Protocol] = u
		}
	}
	var all []store.Use
	for _, u := range latest {
		all = append(all, u)
	}
	slices.SortFunc(all, func(a, b store.Use) int { return cmp.Compare(a.Protocol, b.Protocol) })
	return all
}

// withLive returns a mailbox with its passwords used as live sessions say, and
// how many sessions it has: the store hears of uses now and then only.
func withLive(shared *store.Account, sessions []proxy.SessionInfo) (a *store.Account, live int) {
	copied := *shared
	copied.Passwords = slices.Clone(shared.Passwords)
	for _, s := range sessions {
		if s.Mailbox != copied.Mailbox {
			continue
		}
		live++
		noteUse(&copied, s.Password, store.Use{At: s.Since, From: s.Client.Addr(), Protocol: s.Protocol, Client: s.Name})
	}
	return &copied, live
}

// noteUse notes the use of a password in a copy of an account, if it is the last.
func noteUse(a *store.Account, name string, use store.Use) {
	for i := range a.Passwords {
		if p := &a.Passwords[i]; p.Name == name && use.At.After(p.LastUsed.At) {
			p.LastUsed = use
		}
	}
}

// conditions are those of the mailboxes that the visitor may see, the sick first.
func (v *visit) conditions(ctx context.Context) ([]condition, error) {
	mailboxes, err := v.Vault.Mailboxes(ctx)
	if err != nil {
		return nil, err
	}
	sessions := v.Sessions()
	var all []condition
	for _, mailbox := range mailboxes {
		if !v.user.maySee(mailbox) {
			continue
		}
		a, err := v.Vault.Account(ctx, mailbox)
		switch {
		case errors.Is(err, store.ErrNoMailbox): // removed meanwhile
		case err != nil:
			all = append(all, v.broken(mailbox, err))
		default:
			all = append(all, v.condition(a, sessions))
		}
	}
	severity := []string{"bad", "warn", "good", "off"}
	slices.SortStableFunc(all, func(a, b condition) int {
		return cmp.Or(cmp.Compare(slices.Index(severity, a.Level), slices.Index(severity, b.Level)), strings.Compare(a.Mailbox, b.Mailbox))
	})
	return all, nil
}

// broken is a mailbox that cannot be read.
func (v *visit) broken(mailbox string, err error) condition {
	return condition{
		Account: &store.Account{Mailbox: mailbox}, State: unreadableState, Level: "bad", Broken: true,
		Title: v.T("state.unreadable"), Words: v.T("cause.unreadable.words"), Fix: v.T("cause.unreadable.fix"), Reason: err.Error(),
	}
}

// overview is the page of all mailboxes.
func (v *visit) overview() error {
	all, err := v.conditions(v.r.Context())
	if err != nil {
		return err
	}
	page := struct {
		Mailboxes  []condition
		Sick, Live int
		Actions    []navItem
	}{Mailboxes: all, Actions: v.actions(overviewActions)}
	for _, m := range all {
		if m.Level == "bad" || m.Level == "warn" {
			page.Sick++
		}
		page.Live += m.Live
	}
	return v.show("overview", page)
}

// overviewActions are buttons on the overview, and mailboxActions on the page of
// a mailbox, where the path follows the mailbox's own; parts add theirs. The
// first of a mailbox's is the one that connects it again.
var (
	overviewActions = []navItem{
		{"/connect", "connect.title", administrators},
		{"/invitations", "invitations.new", administrators},
	}
	mailboxActions = []navItem{
		{"connect", "connect.action", signedIn},
		{"test", "trial.button", signedIn},
	}
)

// actions are those that the visitor may use.
func (v *visit) actions(all []navItem) []navItem {
	return slices.DeleteFunc(slices.Clone(all), func(n navItem) bool { return n.who == administrators && !v.user.administrator() })
}
