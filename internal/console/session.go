package console

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"authferry/internal/address"
	"authferry/internal/printable"
	"authferry/internal/secret"
	"authferry/tokens/store"
)

// The cookie that holds a session. Where there is TLS, __Host- has browsers take
// it from this very host alone, and only over TLS (RFC 6265bis §4.1.3.2).
const (
	sessionCookie       = "authferry"
	sessionCookieSecure = "__Host-authferry"
)

func (v *visit) cookieName() string {
	if v.secure() {
		return sessionCookieSecure
	}
	return sessionCookie
}

// setSession gives the browser a session, or takes it away if token is empty.
func (v *visit) setSession(token secret.String) {
	cookie := &http.Cookie{
		Name: v.cookieName(), Value: token.Reveal(), Path: "/", MaxAge: int(sessionLife.Seconds()),
		HttpOnly: true, Secure: v.secure(), SameSite: http.SameSiteStrictMode,
	}
	if token.Empty() {
		cookie.MaxAge = -1
	}
	http.SetCookie(v.w, cookie)
}

// identify finds out who makes a request: whom a reverse proxy names, or whose
// session the browser has.
func (v *visit) identify() error {
	if v.user != nil {
		return nil
	}
	access := v.Access()
	if access.vouches(v.r) {
		return v.believe(access)
	}
	cookie, err := v.r.Cookie(v.cookieName())
	if err != nil {
		return nil
	}
	reg, err := v.readRegister(v.r.Context())
	if err != nil {
		return err
	}
	now := v.now()
	s := reg.Sessions[hashToken(secret.String(cookie.Value))]
	if s == nil || s.over(now) || reg.Users[s.User] == nil {
		return nil
	}
	v.session, v.user = s, reg.Users[s.User]
	if now.Sub(s.Seen) < seenStep {
		return nil
	}
	return v.editRegister(v.r.Context(), func(reg *register) error {
		if s := reg.Sessions[s.key]; s != nil {
			s.Seen, s.From = now.UTC(), access.from(v.r).String()
		}
		return nil
	})
}

// believe takes a reverse proxy's word for who makes a request. Of those that
// are no administrators, the owner of a mailbox is who goes by its address: no
// alias, which the configuration gives to devices and which may well be the name
// of somebody else at the reverse proxy.
func (v *visit) believe(access Access) error {
	names := v.r.Header.Values(access.Header)
	if len(names) != 1 { // the proxy appends, and somebody has sent one before it
		return v.refuse(http.StatusForbidden, "error.names", "header", access.Header)
	}
	name := names[0]
	stranger := v.refuse(http.StatusForbidden, keyStranger, "name", printable.Quote(name))
	if checkName(name) != nil {
		return stranger
	}
	if slices.ContainsFunc(access.Administrators, func(a string) bool { return foldName(a) == foldName(name) }) {
		v.user = &user{Name: name, Role: roleAdministrator}
		return nil
	}
	mailbox := foldName(name)
	if address.Check(mailbox) != nil {
		return stranger
	}
	a, err := v.Vault.Account(v.r.Context(), mailbox)
	switch {
	case errors.Is(err, store.ErrNoMailbox), err == nil && a.Mailbox != mailbox: // that of an alias
		return stranger
	case err != nil:
		return err
	}
	v.user = &user{Name: name, Role: roleOwner, Mailboxes: []string{mailbox}}
	return nil
}

const keyStranger = "error.stranger"

// isStranger tells whether a reverse proxy names somebody who is nobody here.
func isStranger(err error) bool {
	r, ok := errors.AsType[*refusal](err)
	return ok && r.key == keyStranger
}

// signIn gives the browser a session of somebody, in place of the one it has: a
// session that somebody else may know of is never raised to another's
// (session fixation). change edits the register in the same step.
func (v *visit) signIn(byLink bool, change func(reg *register) (*user, error)) error {
	token, now := newToken(), v.now().UTC()
	var who *user
	err := v.editRegister(v.r.Context(), func(reg *register) (err error) {
		if who, err = change(reg); err != nil {
			return err
		}
		if old, err := v.r.Cookie(v.cookieName()); err == nil {
			delete(reg.Sessions, hashToken(secret.String(old.Value)))
		}
		who.SignedIn = now
		reg.begin(token, browserSession{
			User: foldName(who.Name), Created: now, Seen: now,
			From: v.Access().from(v.r).String(), Browser: browserName(v.r.UserAgent()), ByLink: byLink,
		})
		return nil
	})
	if err == nil {
		v.setSession(token)
	}
	return err
}

// browserName is what to call a browser: enough to tell one's own apart.
func browserName(agent string) string {
	system := ""
	for _, s := range []struct{ sign, name string }{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"},
		{"Macintosh", "Mac"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	} {
		if strings.Contains(agent, s.sign) {
			system = s.name
			break
		}
	}
	for _, b := range []struct{ sign, name string }{ // most say that they are several: the rarest first
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"Chrome/", "Chrome"}, {"CriOS/", "Chrome"}, {"Safari/", "Safari"},
	} {
		if strings.Contains(agent, b.sign) {
			return strings.TrimSuffix(b.name+", "+system, ", ")
		}
	}
	name, _, _ := strings.Cut(agent, "/")
	if name == "" || !printable.Is(name) {
		return system
	}
	return printable.Prefix(name, 40)
}

// toSignIn is for pages that somebody has to be signed in for.
func (v *visit) toSignIn() error {
	if v.r.Method != http.MethodGet {
		return v.refuse(http.StatusForbidden, "error.session")
	}
	if v.r.URL.Path == "/" {
		return v.redirect("/signin")
	}
	return v.redirect(fmt.Sprintf("/signin?next=%s", escapeQuery(v.r.URL.Path)))
}
