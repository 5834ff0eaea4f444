package console

import (
	"cmp"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	"authferry/internal/address"
	"authferry/internal/console/frame"
	"authferry/internal/mailsettings"
	"authferry/proxy"
	"authferry/tokens"
	"authferry/tokens/store"
)

func mountMailbox(c *Console) {
	c.mount("GET /mailboxes/{mailbox}", frame.SignedIn, func(c *Console, r *frame.Request) error {
		return mailboxPage(c, r, http.StatusOK, passwordForm{})
	})
	c.mount("GET /mailboxes/{mailbox}/profile.svg", frame.SignedIn, profileCode)
	c.mount("POST /mailboxes/{mailbox}/refresh", frame.SignedIn, refreshToken)
	c.mount("GET /mailboxes/{mailbox}/remove", frame.SignedIn, removePage)
	c.mount("POST /mailboxes/{mailbox}/remove", frame.SignedIn, removeMailbox)
	c.mount("POST /mailboxes/{mailbox}/passwords", frame.SignedIn, addPassword)
	c.mount("POST /mailboxes/{mailbox}/passwords/revoke", frame.SignedIn, revokePassword)
	c.mount("POST /sessions/end", frame.SignedIn, endSession)
}

// mailboxActions are the buttons on the page of a mailbox; their paths follow the
// mailbox's own. The first one connects it again.
var mailboxActions = []frame.MenuItem{
	{Path: "connect", Key: "connect.action", Who: frame.SignedIn},
	{Path: "test", Key: "check.button", Who: frame.SignedIn},
}

// shownLogins is how many of the last logins the page of a mailbox shows.
const shownLogins = 8

// mailboxView is the page of a mailbox.
type mailboxView struct {
	condition
	Rows     []passwordRow
	Form     passwordForm
	Sessions []proxy.SessionInfo
	Servers  []mailsettings.Server
	Cards    []mailsettings.Card
	Profile  string // URL of a profile for Apple Mail; empty: telephones cannot reach it
	Actions  []frame.MenuItem
	Logins   []loginRow
	Recorded bool // logins are recorded
}

// profileURL returns where a telephone finds the settings of the mailbox, or ""
// if it could not reach the console.
func profileURL(c *Console, r *frame.Request) string {
	at, err := url.Parse(r.Access.URL)
	if err != nil || c.MailSettings == nil || address.IsLoopbackHost(at.Hostname()) {
		return ""
	}
	return r.Access.URL + "/email.mobileconfig?email=" + url.QueryEscape(r.Mailbox)
}

// profileCode answers with the URL of the profile as a QR code.
func profileCode(c *Console, r *frame.Request) error {
	address := profileURL(c, r)
	if address == "" {
		return r.Refuse(http.StatusNotFound, "error.page")
	}
	picture, err := mailsettings.QRCode(address)
	if err != nil {
		return err
	}
	r.W.Header().Set("Content-Type", "image/svg+xml")
	_, err = r.W.Write(picture)
	return err
}

// mailboxPage shows a mailbox, with the form for another password as it was filled
// in.
func mailboxPage(c *Console, r *frame.Request, status int, form passwordForm) error {
	page := mailboxView{
		Form: form, Servers: c.Servers(), Cards: c.cards(r.Mailbox, r.Language), Profile: profileURL(c, r),
		Actions: r.Allowed(mailboxActions), Recorded: c.Logins != nil,
	}
	a, err := c.Vault.Account(r.Context(), r.Mailbox)
	switch {
	case errors.Is(err, store.ErrNoMailbox):
		return err
	case err != nil:
		page.condition = broken(r.Printer, r.Mailbox, err)
	default:
		page.condition = conditionOf(c, r.Printer, a, c.Sessions())
	}
	page.Sessions = slices.DeleteFunc(c.Sessions(), func(s proxy.SessionInfo) bool { return s.Mailbox != r.Mailbox })
	slices.SortFunc(page.Sessions, func(a, b proxy.SessionInfo) int { return cmp.Compare(b.ID, a.ID) }) // the latest first
	if page.Recorded {
		attempts, err := c.Logins(LoginQuery{Mailboxes: []string{r.Mailbox}, Last: shownLogins})
		if err != nil {
			return err
		}
		for _, l := range attempts {
			if from, err := netip.ParseAddr(l.From); err == nil && l.OK {
				noteUse(page.Account, l.Password, store.Use{At: l.At, From: from, Protocol: l.Protocol, Client: l.Program})
			}
		}
		page.Logins = loginRows(r, attempts)
	}
	for _, p := range page.Passwords {
		page.Rows = append(page.Rows, passwordRow{p, limits(r.Printer, p)})
	}
	return r.ShowAs(status, "mailbox", page)
}

// refreshToken gets a token at once, for a person who has just fixed something.
func refreshToken(c *Console, r *frame.Request) error {
	if _, err := c.Vault.Refresh(r.Context(), r.Mailbox); err != nil {
		if errors.Is(err, store.ErrNoMailbox) {
			return err
		}
		return r.Redirect(frame.MailboxPath(r.Mailbox)) // which says what is wrong
	}
	return r.Done(frame.MailboxPath(r.Mailbox), "refreshed")
}

// removal is the page to remove a mailbox.
type removal struct {
	condition
	Answer *tokens.Removed // after it was removed
}

func removePage(c *Console, r *frame.Request) error {
	a, err := c.Vault.Account(r.Context(), r.Mailbox)
	if errors.Is(err, store.ErrNoMailbox) {
		return err
	}
	if err != nil { // a mailbox that cannot be read can be removed all the same
		return r.Show("remove", removal{condition: broken(r.Printer, r.Mailbox, err)})
	}
	return r.Show("remove", removal{condition: conditionOf(c, r.Printer, a, c.Sessions())})
}

func removeMailbox(c *Console, r *frame.Request) error {
	done, err := c.Vault.Remove(r.Context(), r.Mailbox, tokens.Removal{
		KeepGrant: r.HTTP.PostFormValue("keep-grant") != "", KeepPasswords: r.HTTP.PostFormValue("keep-passwords") != "",
	})
	if err != nil {
		return err
	}
	c.Sweep()
	r.Note("console: mailbox removed")
	switch {
	case done.Left != nil:
		return r.Show("remove", removal{condition: condition{Account: &store.Account{Mailbox: r.Mailbox}}, Answer: done})
	case done.Passwords > 0:
		return r.Done(frame.MailboxPath(r.Mailbox), "disconnected")
	}
	return r.Done("/", "removed")
}

// endSession ends a session that is logged in. Most programs log in again.
func endSession(c *Console, r *frame.Request) error {
	id, err := strconv.ParseInt(r.HTTP.PostFormValue("id"), 10, 64)
	if err != nil {
		return r.Refuse(http.StatusBadRequest, "error.form")
	}
	ended := c.Kick(func(s proxy.SessionInfo) bool { return s.ID == id && r.User.MaySee(s.Mailbox) })
	if ended == 0 {
		return r.Done(r.Next(), "session-gone")
	}
	return r.Done(r.Next(), "session-ended")
}
