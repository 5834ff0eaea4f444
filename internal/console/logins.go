package console

import (
	"slices"
	"strings"
	"time"

	"authferry/internal/console/frame"
	"authferry/internal/console/pages"
	"authferry/internal/protocol"
)

// LoginQuery selects logins of the record.
type LoginQuery struct {
	Mailboxes []string // none: all
	Failed    bool     // only failures
	Last      int      // how many, the newest
}

// LoginAttempt is an attempted login.
type LoginAttempt struct {
	At       time.Time
	Protocol protocol.Protocol
	From     string
	User     string // as the program sent it, if it may be shown
	Mailbox  string
	Password string // its name
	Program  string // as it named itself
	OK       bool
	Result   string // "ok", or a row of the table of refusals
	Cause    string
	Times    int // how many equal attempts it stands for
}

// loginRow is an attempt with its result in words.
type loginRow struct {
	LoginAttempt
	Words string
}

// loginRows returns the rows of a page's table of logins.
func loginRows(r *frame.Request, all []LoginAttempt) (rows []loginRow) {
	for _, l := range all {
		words := l.Result
		if l.OK {
			words = r.T("result.ok")
		} else if key := "result." + strings.ReplaceAll(strings.ToLower(l.Result), " ", "-"); pages.Known(key) {
			words = r.T(key)
		}
		rows = append(rows, loginRow{l, words})
	}
	return rows
}

// maxLogins bounds the logins on a page.
const maxLogins = 200

// loginsPage shows the record of logins. Owners see what is about their mailboxes.
func loginsPage(c *Console, r *frame.Request) error {
	page := struct {
		Recorded, Failed bool
		Mailbox          string
		Mailboxes        []string
		Logins           []loginRow
	}{Recorded: c.Logins != nil, Failed: r.HTTP.FormValue("failed") != ""}
	all, err := c.Vault.Mailboxes(r.Context())
	if err != nil {
		return err
	}
	page.Mailboxes = slices.DeleteFunc(all, func(m string) bool { return !r.User.MaySee(m) })
	query := LoginQuery{Failed: page.Failed, Last: maxLogins}
	if !r.User.Administrator() {
		query.Mailboxes = page.Mailboxes
	}
	if m, _ := c.Vault.Canonical(r.HTTP.FormValue("mailbox")); m != "" && slices.Contains(page.Mailboxes, m) {
		page.Mailbox, query.Mailboxes = m, []string{m}
	}
	if page.Recorded && (r.User.Administrator() || len(query.Mailboxes) > 0) {
		attempts, err := c.Logins(query)
		if err != nil {
			return err
		}
		page.Logins = loginRows(r, attempts)
	}
	return r.Show("logins", page)
}
