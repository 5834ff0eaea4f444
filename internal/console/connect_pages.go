package console

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"authferry/internal/address"
	"authferry/internal/mailsettings"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// connectForm is what somebody who is signed in says about a mailbox to connect.
type connectForm struct {
	Mailbox, SignIn, Provider string
	Trouble, Detail           string
	Providers                 []*oauth.Provider
	Known                     bool // the mailbox is connected already: this renews the grant
	Codes                     bool // some provider has device codes
	Callback                  string
}

// connectPage asks which mailbox, at which provider.
func (s *signIns) connectPage(v *visit) error {
	f := connectForm{Mailbox: v.mailbox, Provider: v.r.URL.Query().Get("provider")}
	if f.Mailbox == "" {
		f.Mailbox = v.r.URL.Query().Get("mailbox")
	}
	return s.showForm(v, http.StatusOK, f)
}

func (s *signIns) showForm(v *visit, status int, f connectForm) error {
	f.Providers = s.console.Providers()
	f.Codes = slices.ContainsFunc(f.Providers, func(p *oauth.Provider) bool { return p.Flow.NeedsPerson() && p.DeviceURL != "" })
	f.Callback = v.Access().URL + callbackPath
	if mailbox, _ := s.vault.Canonical(f.Mailbox); f.Mailbox != "" && v.user.maySee(mailbox) {
		a, err := s.vault.Account(v.r.Context(), mailbox)
		if err != nil && !errors.Is(err, store.ErrNoMailbox) {
			return err
		}
		if err == nil {
			f.Known = true
			if f.Provider == "" {
				f.Provider, f.SignIn = a.Provider, a.SignIn
			}
		}
	}
	if f.Provider == "" {
		f.Provider = likely(f.Mailbox, f.Providers)
	}
	return v.showAs(status, "connect", f)
}

// likely guesses where a mailbox is: by well known domains, or the first.
func likely(mailbox string, list []*oauth.Provider) string {
	domain := address.Domain(mailbox)
	brand := "Google"
	switch domain {
	case "outlook.com", "hotmail.com", "live.com", "msn.com":
		brand = "Microsoft"
	}
	if i := slices.IndexFunc(list, func(p *oauth.Provider) bool { return p.Brand() == brand }); i >= 0 {
		return list[i].Name
	}
	if len(list) > 0 {
		return list[0].Name
	}
	return ""
}

// connect begins to connect a mailbox. Administrators connect any; owners renew
// the grants of theirs.
func (s *signIns) connect(v *visit) error {
	form := func(name string) string { return strings.TrimSpace(v.r.PostFormValue(name)) }
	f := connectForm{Mailbox: form("mailbox"), SignIn: form("sign_in"), Provider: form("provider")}
	mailbox, _ := s.vault.Canonical(f.Mailbox)
	refuse := func(key string, err error) error {
		f.Trouble = v.T(key, "mailbox", mailbox)
		if err != nil {
			f.Detail = err.Error()
		}
		return s.showForm(v, http.StatusUnprocessableEntity, f)
	}
	if address.Check(mailbox) != nil {
		return refuse("connect.bad.address", nil)
	}
	if !v.user.maySee(mailbox) {
		return v.refuse(http.StatusNotFound, "error.mailbox", "mailbox", mailbox)
	}
	e := &errand{Mailbox: mailbox, untried: v.user.administrator()}
	if f.SignIn != "" {
		signIn, _ := s.vault.Canonical(f.SignIn)
		if address.Check(signIn) != nil {
			return refuse("connect.bad.signin", nil)
		}
		if signIn != mailbox {
			e.SignIn = signIn
		}
	}
	if e.Provider = s.chosen(f.Provider); e.Provider == nil {
		return refuse("connect.bad.provider", nil)
	}
	if err := s.renews(v, e); err != nil {
		return err
	}
	switch err := s.begin(v, e, way(form("way"))); {
	case errors.Is(err, errTooMany):
		return v.refuse(http.StatusTooManyRequests, "connect.busy")
	case errors.Is(err, errNoCodes):
		return refuse("connect.bad.codes", nil)
	case err != nil:
		return refuse("connect.bad.begin", err)
	}
	return nil
}

// renews refuses an owner all but a new grant in the place of the one there is:
// what an administrator has removed stays removed, another provider answers for
// other mailboxes, and where nobody signs in an owner would prove nothing.
func (s *signIns) renews(v *visit, e *errand) error {
	if v.user.administrator() {
		return nil
	}
	a, err := s.vault.Account(v.r.Context(), e.Mailbox)
	switch {
	case errors.Is(err, store.ErrNoMailbox):
		return v.refuse(http.StatusForbidden, "connect.bad.owner", "mailbox", e.Mailbox)
	case err != nil:
		return err
	case s.vault.State(a) == store.StateDisconnected, a.Provider != e.Provider.Name, !e.Provider.Flow.NeedsPerson():
		return v.refuse(http.StatusForbidden, "connect.bad.owner", "mailbox", e.Mailbox)
	}
	return nil
}

// errandView is the page of an errand.
type errandView struct {
	*errand
	Outcome *outcome
	Going   bool // the browser is on its way to the provider
	Trouble string
	Servers []MailServer // for the password that was made
	Cards   []mailsettings.Card
	Follow  bool // the page changes by itself
}

// mine finds the errand of the page.
func (s *signIns) mine(v *visit) *errand {
	return s.errands.find(v.r.PathValue("errand"), v.browser())
}

// errandPage says what the person has to do next, or what came of it.
func (s *signIns) errandPage(v *visit) error {
	e := s.mine(v)
	if e == nil {
		return v.refuse(http.StatusNotFound, "connect.lost")
	}
	return s.showErrand(v, http.StatusOK, e, "")
}

func (s *signIns) showErrand(v *visit, status int, e *errand, trouble string) error {
	view := errandView{errand: e, Outcome: e.Outcome(), Trouble: trouble}
	switch {
	case view.Outcome != nil:
		if made := view.Outcome.Made; made != nil {
			view.Servers, view.Cards = serversFor(v.Servers(), made), v.cards(view.Outcome.Mailbox)
		}
		if view.Outcome.Mailbox != "" && e.Invitation != nil {
			v.setLax(invitationCookie, "", 0)
		}
	case e.Device != nil, e.Answered():
		view.Follow = true
	case e.Paste:
	case e.leave():
		// Not by a redirect of the form's answer: browsers hold that to the
		// policy of the page that had the form, and providers redirect on to
		// names that nobody can list.
		view.Going = true
		v.w.Header().Set("Refresh", "0; url="+e.Page)
	}
	return v.showAs(status, "errand", view)
}

// leave tells whether the browser has yet to be sent to the provider: once, so
// that its button for going back leads somewhere.
func (e *errand) leave() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	first := !e.left
	e.left = true
	return first
}

// serversFor are those that a password is good for.
func serversFor(all []MailServer, spec *tokens.PasswordSpec) (list []MailServer) {
	for _, m := range all {
		if (len(spec.Protocols) == 0 || slices.Contains(spec.Protocols, m.Protocol)) && !(spec.ReadOnly && m.Protocol == "smtp") {
			list = append(list, m)
		}
	}
	return list
}

// paste takes the address that the provider sent a browser to, where nobody
// listened.
func (s *signIns) paste(v *visit) error {
	e := s.mine(v)
	if e == nil || e.consent == nil {
		return v.refuse(http.StatusNotFound, "connect.lost")
	}
	address := strings.TrimSpace(v.r.PostFormValue("address"))
	if !e.Answered() {
		if err := e.consent.Validate(address); err != nil {
			return s.showErrand(v, http.StatusUnprocessableEntity, e, v.T("connect.bad.paste"))
		}
		s.finish(v, e, address)
	}
	return v.redirect("/connect/" + e.ID)
}

// forget is for a person who has put the password where it belongs.
func (s *signIns) forget(v *visit) error {
	e := s.mine(v)
	if e == nil {
		return v.refuse(http.StatusNotFound, "connect.lost")
	}
	e.forget()
	return v.redirect("/connect/" + e.ID)
}

// Say is T of a text whose values come along with its key.
func (v *visit) Say(key string, pairs []any) string { return v.T(key, pairs...) }

// Hours is a number of hours in words.
func (v *visit) Hours(n int) string { return v.Span(time.Duration(n) * time.Hour) }
