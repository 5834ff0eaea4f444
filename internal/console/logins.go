package console

import (
	"slices"
	"time"
)

// LoginQuery picks logins of the record.
type LoginQuery struct {
	Mailboxes []string // none: all
	Failed    bool
	Last      int // how many, the newest
}

// LoginAttempt is a login that was tried.
type LoginAttempt struct {
	At       time.Time
	Protocol string
	From     string
	User     string // as the program gave it, as far as that may be shown
	Mailbox  string
	Password string // its name
	Program  string // how it named itself
	OK       bool
	Result   string // a row of the table of refusals
	Cause    string
	Times    int // how many alike it stands for
}

func (c *Console) mountLogins() {
	c.handle("GET /logins", signedIn, (*visit).loginsPage)
}

// mostLogins are how many the page shows.
const mostLogins = 200

// loginsPage shows the record of logins, and who is logged in now. Owners see
// what is about their mailboxes.
func (v *visit) loginsPage() error {
	page := struct {
		Recorded, Failed bool
		Mailbox          string
		Mailboxes        []string
		Logins           []LoginAttempt
	}{Recorded: v.Logins != nil, Failed: v.r.FormValue("failed") != ""}
	all, err := v.Vault.Mailboxes(v.r.Context())
	if err != nil {
		return err
	}
	page.Mailboxes = slices.DeleteFunc(all, func(m string) bool { return !v.user.maySee(m) })
	query := LoginQuery{Failed: page.Failed, Last: mostLogins}
	if !v.user.administrator() {
		query.Mailboxes = page.Mailboxes
	}
	if m, _ := v.Vault.Canonical(v.r.FormValue("mailbox")); m != "" && slices.Contains(page.Mailboxes, m) {
		page.Mailbox, query.Mailboxes = m, []string{m}
	}
	if page.Recorded && (v.user.administrator() || len(query.Mailboxes) > 0) {
		if page.Logins, err = v.Logins(query); err != nil {
			return err
		}
	}
	return v.show("logins", page)
}

// Result is how a login ended, in words where there are some.
func (v *visit) Result(l LoginAttempt) string {
	if l.OK {
		return v.T("result.ok")
	}
	if key := "result." + textKey(l.Result); v.Has(key) {
		return v.T(key)
	}
	return l.Result
}
