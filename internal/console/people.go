package console

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"authferry/internal/printable"
	"authferry/internal/secret"
	"authferry/tokens"
)

func (c *Console) mountPeople() {
	c.handle("GET /people", administrators, (*visit).peoplePage)
	c.handle("POST /people/link", administrators, (*visit).makeLink)
	c.handle("POST /people/remove", administrators, (*visit).removePerson)
	c.handle("GET /account", signedIn, func(v *visit) error { return v.accountPage(http.StatusOK, "") })
	c.handle("POST /account/password", signedIn, (*visit).setPassword)
	c.handle("POST /account/sessions/end", signedIn, (*visit).endBrowserSession)
}

// person is a user with their browsers.
type person struct {
	*user
	Browsers int
	Self     bool
}

// peoplePage shows who may sign in.
func (v *visit) peoplePage() error { return v.people(http.StatusOK, "") }

func (v *visit) people(status int, trouble string) error {
	reg, err := v.readRegister(v.r.Context())
	if err != nil {
		return err
	}
	reg.prune(v.now())
	page := struct {
		People    []person
		Mailboxes []string
		Trouble   string
		Links     int
	}{Trouble: trouble, Links: len(reg.Links)}
	for name, u := range reg.Users {
		page.People = append(page.People, person{u, len(reg.sessionsOf(name)), v.session != nil && v.session.User == name})
	}
	slices.SortFunc(page.People, func(a, b person) int { return strings.Compare(foldName(a.Name), foldName(b.Name)) })
	if page.Mailboxes, err = v.Vault.Mailboxes(v.r.Context()); err != nil {
		return err
	}
	return v.showAs(status, "people", page)
}

// inviteLife is how long a link made here is good for: it goes to somebody else,
// who does not wait for it.
const inviteLife = 24 * time.Hour

// makeLink makes a link for somebody else, and shows it once.
func (v *visit) makeLink() error {
	l := SignIn{Name: v.r.PostFormValue("name"), Lasts: inviteLife, Access: v.Access()}
	if mailbox := v.r.PostFormValue("mailbox"); mailbox != "" {
		mailbox, _ = v.Vault.Canonical(mailbox)
		if _, err := v.Vault.Account(v.r.Context(), mailbox); err != nil {
			return err
		}
		l.Owner = []string{mailbox}
	} else if strings.TrimSpace(l.Name) == "" {
		return v.people(http.StatusUnprocessableEntity, v.T("people.noname"))
	}
	link, expires, err := newLink(v.r.Context(), v.Vault, v.now(), l)
	if err != nil {
		return v.people(http.StatusUnprocessableEntity, err.Error())
	}
	v.note("console: link made", zap.String("for", printable.Quote(l.Name)), zap.Strings("owner", l.Owner))
	return v.show("link", madeLink{link, expires})
}

// madeLink is a link that has just been made, to be shown once.
type madeLink struct {
	secret  secret.String
	Expires time.Time
}

// Reveal is the link itself, for the page that shows it.
func (l madeLink) Reveal() string { return l.secret.Reveal() }

// removePerson forgets somebody, with their sessions and links. Nobody removes
// themselves: there would soon be no administrator.
func (v *visit) removePerson() error {
	name := foldName(v.r.PostFormValue("name"))
	err := v.editRegister(v.r.Context(), func(reg *register) error {
		if v.session != nil && v.session.User == name {
			return v.refuse(http.StatusForbidden, "error.self")
		}
		delete(reg.Users, name)
		for key, l := range reg.Links {
			if foldName(l.Name) == name {
				delete(reg.Links, key)
			}
		}
		reg.prune(v.now())
		return nil
	})
	if err != nil {
		return err
	}
	v.note("console: person removed", zap.String("removed", printable.Quote(name)))
	return v.done("/people", "person-removed")
}

// accountPage is about who is signed in.
func (v *visit) accountPage(status int, trouble string) error {
	if v.session == nil { // a reverse proxy signs them in: nothing here to change
		return v.redirect("/")
	}
	reg, err := v.readRegister(v.r.Context())
	if err != nil {
		return err
	}
	return v.showAs(status, "account", struct {
		Browsers []*browserSession
		Current  string
		AskOld   bool
		Trouble  string
	}{reg.sessionsOf(v.session.User), v.session.key, v.user.HasPassword() && !v.session.ByLink, trouble})
}

const leastChosen, mostChosen = 12, 255

// setPassword lets somebody come back without a link. Their other browsers are
// signed out: whoever changes a password may fear that it is known.
func (v *visit) setPassword() error {
	if v.session == nil {
		return v.refuse(http.StatusForbidden, "error.session")
	}
	chosen := secret.String(v.r.PostFormValue("new"))
	if n := len([]rune(chosen.Reveal())); n < leastChosen || len(chosen) > mostChosen {
		return v.accountPage(http.StatusUnprocessableEntity, v.N("account.length", leastChosen))
	}
	if v.user.HasPassword() && !v.session.ByLink {
		right, wait, err := v.verify(v.session.User, v.user.Password.String, secret.String(v.r.PostFormValue("old")))
		if err != nil {
			return err
		}
		if wait > 0 {
			v.w.Header().Set("Retry-After", retryAfter(wait))
			return v.accountPage(http.StatusTooManyRequests, v.T("signin.toomany", "span", v.Span(wait)))
		}
		if !right {
			return v.accountPage(http.StatusForbidden, v.T("account.wrong"))
		}
	}
	kept := verifier{tokens.HashChosen(chosen)}
	err := v.editRegister(v.r.Context(), func(reg *register) error {
		u := reg.Users[v.session.User]
		if u == nil {
			return v.refuse(http.StatusForbidden, "error.session")
		}
		u.Password = kept
		for _, s := range reg.sessionsOf(v.session.User) {
			if s.key != v.session.key {
				delete(reg.Sessions, s.key)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	v.note("console: password set")
	return v.done("/account", "password-set")
}

// endBrowserSession signs one of somebody's own browsers out.
func (v *visit) endBrowserSession() error {
	if v.session == nil {
		return v.refuse(http.StatusForbidden, "error.session")
	}
	key := v.r.PostFormValue("session")
	err := v.editRegister(v.r.Context(), func(reg *register) error {
		if s := reg.Sessions[key]; s != nil && s.User == v.session.User {
			delete(reg.Sessions, key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return v.done("/account", "browser-out")
}
