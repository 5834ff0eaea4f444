package console

import (
	"cmp"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	"go.uber.org/zap"

	"authferry/internal/address"
	"authferry/internal/mailsettings"
	"authferry/proxy"
	"authferry/tokens"
	"authferry/tokens/store"
)

func (c *Console) mountMailbox() {
	c.handle("GET /mailboxes/{mailbox}", signedIn, func(v *visit) error { return v.mailboxPage(http.StatusOK, passwordForm{}) })
	c.handle("GET /mailboxes/{mailbox}/profile.svg", signedIn, (*visit).profileCode)
	c.handle("POST /mailboxes/{mailbox}/refresh", signedIn, (*visit).refreshNow)
	c.handle("GET /mailboxes/{mailbox}/remove", signedIn, (*visit).removePage)
	c.handle("POST /mailboxes/{mailbox}/remove", signedIn, (*visit).remove)
	c.handle("POST /sessions/end", signedIn, (*visit).endSession)
}

// shownLogins are how many of the last logins the page of a mailbox shows.
const shownLogins = 8

// mailboxData is what the page of a mailbox shows.
type mailboxData struct {
	condition
	Form     passwordForm
	Sessions []proxy.SessionInfo
	Servers  []MailServer
	Cards    []mailsettings.Card
	Profile  string // the address of a profile for Apple Mail; empty: none that a telephone could open
	Actions  []navItem
	Logins   []LoginAttempt
	Recorded bool // logins are
}

// cards say how each program is set up, in the language of the page.
func (v *visit) cards(mailbox string) []mailsettings.Card {
	if v.Cards == nil {
		return nil
	}
	return v.Cards(mailbox, v.language)
}

// profile is where a telephone finds the settings of the mailbox; nowhere if it
// could not reach the console.
func (v *visit) profile() string {
	at, err := url.Parse(v.Access().URL)
	if err != nil || v.MailSettings == nil || address.IsLoopbackHost(at.Hostname()) {
		return ""
	}
	return v.Access().URL + "/email.mobileconfig?email=" + url.QueryEscape(v.mailbox)
}

// profileCode is the address of the profile for a camera.
func (v *visit) profileCode() error {
	address := v.profile()
	if address == "" {
		return v.refuse(http.StatusNotFound, "error.page")
	}
	picture, err := mailsettings.QRCode(address)
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "image/svg+xml")
	_, err = v.w.Write(picture)
	return err
}

// mailboxPage shows a mailbox, with the form for another password as it was
// filled in.
func (v *visit) mailboxPage(status int, form passwordForm) error {
	page := mailboxData{Form: form, Servers: v.Servers(), Cards: v.cards(v.mailbox), Profile: v.profile(), Actions: v.actions(mailboxActions), Recorded: v.Logins != nil}
	a, err := v.Vault.Account(v.r.Context(), v.mailbox)
	switch {
	case errors.Is(err, store.ErrNoMailbox):
		return err
	case err != nil:
		page.condition = v.broken(v.mailbox, err)
	default:
		page.condition = v.condition(a, v.Sessions())
	}
	page.Sessions = v.liveSessions(func(s proxy.SessionInfo) bool { return s.Mailbox == v.mailbox })
	if page.Recorded {
		if page.Logins, err = v.Logins(LoginQuery{Mailboxes: []string{v.mailbox}, Last: shownLogins}); err != nil {
			return err
		}
		for _, l := range page.Logins {
			if from, err := netip.ParseAddr(l.From); err == nil && l.OK {
				noteUse(page.Account, l.Password, store.Use{At: l.At, From: from, Protocol: l.Protocol, Client: l.Program})
			}
		}
	}
	return v.showAs(status, "mailbox", page)
}

// liveSessions are those that match, the latest first.
func (c *Console) liveSessions(match func(proxy.SessionInfo) bool) []proxy.SessionInfo {
	list := slices.DeleteFunc(c.Sessions(), func(s proxy.SessionInfo) bool { return !match(s) })
	slices.SortFunc(list, func(a, b proxy.SessionInfo) int { return cmp.Compare(b.ID, a.ID) })
	return list
}

// refreshNow gets a token at once, for somebody who has mended something.
func (v *visit) refreshNow() error {
	if _, err := v.Vault.Refresh(v.r.Context(), v.mailbox); err != nil {
		if errors.Is(err, store.ErrNoMailbox) {
			return err
		}
		return v.redirect(mailboxPath(v.mailbox)) // which says what is wrong
	}
	return v.done(mailboxPath(v.mailbox), "refreshed")
}

// removal is what the page asks before a mailbox goes.
type removal struct {
	condition
	Answer *tokens.Removed // after it went
}

func (v *visit) removePage() error {
	a, err := v.Vault.Account(v.r.Context(), v.mailbox)
	if errors.Is(err, store.ErrNoMailbox) {
		return err
	}
	if err != nil { // what cannot be read is what one may want to be rid of
		return v.show("remove", removal{condition: v.broken(v.mailbox, err)})
	}
	return v.show("remove", removal{condition: v.condition(a, v.Sessions())})
}

func (v *visit) remove() error {
	done, err := v.Vault.Remove(v.r.Context(), v.mailbox, tokens.Removal{
		KeepGrant: v.r.PostFormValue("keep-grant") != "", KeepPasswords: v.r.PostFormValue("keep-passwords") != "",
	})
	if err != nil {
		return err
	}
	v.Sweep()
	v.note("console: mailbox removed")
	switch {
	case done.Left != nil:
		return v.show("remove", removal{condition: condition{Account: &store.Account{Mailbox: v.mailbox}}, Answer: done})
	case done.Passwords > 0:
		return v.done(mailboxPath(v.mailbox), "disconnected")
	}
	return v.done("/", "removed")
}

// endSession ends a session that is logged in; its program will mostly be back.
func (v *visit) endSession() error {
	id, err := strconv.ParseInt(v.r.PostFormValue("id"), 10, 64)
	if err != nil {
		return v.refuse(http.StatusBadRequest, "error.form")
	}
	ended := v.Kick(func(s proxy.SessionInfo) bool { return s.ID == id && v.user.maySee(s.Mailbox) })
	if ended == 0 {
		return v.done(v.next(), "session-gone")
	}
	return v.done(v.next(), "session-ended")
}

// note writes down who changed something.
func (v *visit) note(what string, fields ...zap.Field) {
	v.Log.Info(what, append([]zap.Field{zap.String("user", v.user.Name), zap.String("client", v.Access().from(v.r).String()), zap.String("mailbox", v.mailbox)}, fields...)...)
}
