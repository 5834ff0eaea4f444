package console

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"authferry/internal/console/frame"
	"authferry/internal/console/pages"
	"authferry/internal/protocol"
	"authferry/proxy"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// soon is how long before the expected end of a grant a mailbox gets a warning.
const soon = 7 * 24 * time.Hour

// condition is the state of a mailbox, in words.
type condition struct {
	*store.Account
	State   store.State
	Level   string // a class of the style sheet: "good", "warn", "bad" or "off"
	Title   string // the state in a word or two
	Words   string // what is wrong; empty: nothing
	Fix     string // what to do about it
	Detail  string // the fix in the words of the log, where it says more
	Page    string // the URL to do it at
	Reason  string // the provider's or the network's error
	Since   time.Time
	Needs   time.Time // when a person is needed; zero: not known
	Ends    bool      // because the grant ends then
	Used    []store.Use
	Live    int  // sessions
	Broken  bool // the mailbox cannot be read
	Connect bool // connecting it again is the fix
}

const unreadableState store.State = "unreadable"

// stateLevels maps the states to classes of the style sheet.
var stateLevels = map[store.State]string{
	store.StateFresh: "good", store.StateStale: "good", store.StateRefreshing: "good",
	store.StateUnreachable: "warn", store.StateNeedsConsent: "bad", unreadableState: "bad", store.StateDisconnected: "off",
}

// conditionOf returns the condition of a mailbox.
func conditionOf(c *Console, p pages.Printer, a *store.Account, sessions []proxy.SessionInfo) condition {
	a, live := withLive(a, sessions)
	s := condition{Account: a, State: c.Vault.State(a), Live: live, Used: lastUses(a)}
	s.Level, s.Title = stateLevels[s.State], p.T("state."+string(s.State))
	f := a.Failure()
	if f != nil {
		s.Reason, s.Since = f.Reason, f.Since
	}
	at, _ := c.Vault.NeedsPerson(a)
	s.Needs, s.Ends = at, f == nil && !at.IsZero()
	advice, known := c.Vault.Advice(a)
	if known {
		s.Words, s.Page, s.Fix = advice.Words, advice.Page, advice.Fix
	}
	if key := causeKey(f); key != "" && pages.Known(key+".words") {
		s.Words = p.T(key+".words", "provider", a.Provider, "mailbox", a.Mailbox)
		s.Fix, s.Connect = p.T(key+".fix", "provider", a.Provider, "mailbox", a.Mailbox), causeConnects(f.Cause)
		switch f.Cause { // their fix names a client, a scope or a table
		case oauth.CausePolicy, oauth.CauseClientDeleted, oauth.CauseClient, oauth.CauseDelegation:
			s.Detail = advice.Fix
		}
	}
	switch {
	case s.State == store.StateDisconnected:
		s.Words, s.Fix, s.Connect = p.T("cause.disconnected.words"), p.T("cause.disconnected.fix"), true
	case s.Ends && at.Sub(p.Now()) < soon:
		s.Level = "warn"
		s.Words, s.Fix, s.Connect = p.T("cause.ends.words", "span", p.Until(at)), p.T("cause.ends.fix"), true
	case f != nil && a.Trouble == f && !at.IsZero() && s.Level == "warn":
		s.Level = "bad" // it lasts until a person acts
		s.Title = p.T("state.refused")
	}
	return s
}

// causeKey returns the table of the texts about a failure.
func causeKey(f *store.Failure) string {
	switch {
	case f == nil:
		return ""
	case f.Cause == oauth.CauseUnknown:
		return "cause.unknown"
	}
	return "cause." + string(f.Cause)
}

// causeConnects reports whether connecting the mailbox again fixes a cause.
func causeConnects(cause oauth.Cause) bool {
	switch cause {
	case oauth.CauseRevoked, oauth.CauseTesting, oauth.CauseSessionControl, oauth.CauseNoGrant, oauth.CauseInteraction, oauth.CauseUnknown:
		return true
	}
	return false
}

// lastUses returns the last login by each protocol, as recorded with the passwords.
func lastUses(a *store.Account) []store.Use {
	latest := map[protocol.Protocol]store.Use{}
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

// withLive returns a mailbox with the uses of its passwords by live sessions, and
// the number of those: the store records uses only now and then.
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

// noteUse records the use of a password in a copy of an account if it is the last.
func noteUse(a *store.Account, name string, use store.Use) {
	for i := range a.Passwords {
		if p := &a.Passwords[i]; p.Name == name && use.At.After(p.LastUsed.At) {
			p.LastUsed = use
		}
	}
}

// conditions returns those of the mailboxes that the user may see, those that need
// attention first.
func conditions(c *Console, r *frame.Request) ([]condition, error) {
	mailboxes, err := c.Vault.Mailboxes(r.Context())
	if err != nil {
		return nil, err
	}
	sessions := c.Sessions()
	var all []condition
	for _, mailbox := range mailboxes {
		if !r.User.MaySee(mailbox) {
			continue
		}
		a, err := c.Vault.Account(r.Context(), mailbox)
		switch {
		case errors.Is(err, store.ErrNoMailbox): // removed meanwhile
		case err != nil:
			all = append(all, broken(r.Printer, mailbox, err))
		default:
			all = append(all, conditionOf(c, r.Printer, a, sessions))
		}
	}
	severity := []string{"bad", "warn", "good", "off"}
	slices.SortStableFunc(all, func(a, b condition) int {
		return cmp.Or(cmp.Compare(slices.Index(severity, a.Level), slices.Index(severity, b.Level)), strings.Compare(a.Mailbox, b.Mailbox))
	})
	return all, nil
}

// broken returns the condition of a mailbox that cannot be read.
func broken(p pages.Printer, mailbox string, err error) condition {
	return condition{
		Account: &store.Account{Mailbox: mailbox}, State: unreadableState, Level: "bad", Broken: true,
		Title: p.T("state.unreadable"), Words: p.T("cause.unreadable.words"), Fix: p.T("cause.unreadable.fix"), Reason: err.Error(),
	}
}

// overviewActions are the buttons on the overview.
var overviewActions = []frame.MenuItem{
	{Path: "/connect", Key: "connect.title", Who: frame.Administrators},
	{Path: "/invitations", Key: "invitations.new", Who: frame.Administrators},
}

// overviewPage shows all mailboxes.
func overviewPage(c *Console, r *frame.Request) error {
	all, err := conditions(c, r)
	if err != nil {
		return err
	}
	page := struct {
		Mailboxes  []condition
		Sick, Live int
		Actions    []frame.MenuItem
	}{Mailboxes: all, Actions: r.Allowed(overviewActions)}
	for _, m := range all {
		if m.Level == "bad" || m.Level == "warn" {
			page.Sick++
		}
		page.Live += m.Live
	}
	return r.Show("overview", page)
}
