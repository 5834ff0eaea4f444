package console

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"authferry/internal/console/frame"
	"authferry/internal/console/people"
	"authferry/internal/printable"
	"authferry/internal/secret"
)

// userRow is a user with the number of their browsers.
type userRow struct {
	*people.User
	Browsers int
	Self     bool
}

// usersPage shows who may sign in.
func usersPage(c *Console, r *frame.Request) error { return showUsers(c, r, http.StatusOK, "") }

func showUsers(c *Console, r *frame.Request, status int, trouble string) error {
	d, err := c.frame.Users.Read(r.Context())
	if err != nil {
		return err
	}
	d.Prune(c.Now())
	page := struct {
		People    []userRow
		Mailboxes []string
		Trouble   string
		Links     int
	}{Trouble: trouble, Links: len(d.Links)}
	for name, u := range d.Users {
		page.People = append(page.People, userRow{u, len(d.SessionsOf(name)), r.Session != nil && r.Session.User == name})
	}
	slices.SortFunc(page.People, func(a, b userRow) int {
		return strings.Compare(people.FoldName(a.Name), people.FoldName(b.Name))
	})
	if page.Mailboxes, err = c.Vault.Mailboxes(r.Context()); err != nil {
		return err
	}
	return r.ShowAs(status, "people", page)
}

// linkLife is how long a link made here is valid: it has to reach another person,
// who is not waiting for it.
const linkLife = 24 * time.Hour

// makeLink makes a link for another user, and shows it once.
func makeLink(c *Console, r *frame.Request) error {
	o := people.LinkOptions{Name: r.HTTP.PostFormValue("name"), Lasts: linkLife, URL: r.Access.URL}
	if mailbox := r.HTTP.PostFormValue("mailbox"); mailbox != "" {
		mailbox, _ = c.Vault.Canonical(mailbox)
		if _, err := c.Vault.Account(r.Context(), mailbox); err != nil {
			return err
		}
		o.Owner = []string{mailbox}
	} else if strings.TrimSpace(o.Name) == "" {
		return showUsers(c, r, http.StatusUnprocessableEntity, r.T("people.noname"))
	}
	link, expires, err := c.frame.Users.NewLink(r.Context(), o)
	if err != nil {
		return showUsers(c, r, http.StatusUnprocessableEntity, err.Error())
	}
	r.Note("console: link made", zap.String("for", printable.Quote(o.Name)), zap.Strings("owner", o.Owner))
	return r.Show("link", madeLink{link, expires})
}

// madeLink is a link that has just been made, to show once.
type madeLink struct {
	secret  secret.String
	Expires time.Time
}

// Reveal returns the link itself.
func (l madeLink) Reveal() string { return l.secret.Reveal() }

// removeUser removes a user with their sessions and links. Users cannot remove
// themselves, or there could be no administrator left.
func removeUser(c *Console, r *frame.Request) error {
	name := people.FoldName(r.HTTP.PostFormValue("name"))
	err := c.frame.Users.Edit(r.Context(), func(d *people.Directory) error {
		if r.Session != nil && r.Session.User == name {
			return r.Refuse(http.StatusForbidden, "error.self")
		}
		d.Remove(name)
		return nil
	})
	if err != nil {
		return err
	}
	r.Note("console: person removed", zap.String("removed", printable.Quote(name)))
	return r.Done("/people", "person-removed")
}
