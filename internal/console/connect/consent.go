package connect

import (
	"errors"
	"net/http"
	"slices"

	"authferry/internal/address"
	"authferry/internal/console/frame"
	"authferry/internal/mailsettings"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// connectForm is the form for a mailbox to connect.
type connectForm struct {
	Mailbox, SignIn, Provider string
	Trouble, Detail           string
	Providers                 []*oauth.Provider
	Known                     bool // the mailbox is connected: this renews the grant
	Codes                     bool // a provider has device codes
	Callback                  string
}

// connectPage asks which mailbox, at which provider.
func connectPage(c *Connector, r *frame.Request) error {
	query := r.HTTP.URL.Query()
	f := connectForm{Mailbox: r.Mailbox, Provider: query.Get("provider")}
	if f.Mailbox == "" {
		f.Mailbox = query.Get("mailbox")
	}
	return showConnect(c, r, http.StatusOK, f)
}

func showConnect(c *Connector, r *frame.Request, status int, f connectForm) error {
	f.Providers = c.Providers()
	f.Codes = slices.ContainsFunc(f.Providers, func(p *oauth.Provider) bool { return p.Flow.NeedsPerson() && p.DeviceURL != "" })
	f.Callback = r.Access.URL + callbackPath
	if mailbox, _ := c.Vault.Canonical(f.Mailbox); f.Mailbox != "" && r.User.MaySee(mailbox) {
		a, err := c.Vault.Account(r.Context(), mailbox)
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
	return r.ShowAs(status, "connect", f)
}

// likely guesses the provider of a mailbox: by well-known domains, or the first.
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

// connect begins to connect a mailbox. Administrators connect any; owners renew the
// grants of theirs.
func connect(c *Connector, r *frame.Request) error {
	f := connectForm{Mailbox: r.Form("mailbox"), SignIn: r.Form("sign_in"), Provider: r.Form("provider")}
	mailbox, _ := c.Vault.Canonical(f.Mailbox)
	refuse := func(key string, err error) error {
		f.Trouble = r.T(key, "mailbox", mailbox)
		if err != nil {
			f.Detail = err.Error()
		}
		return showConnect(c, r, http.StatusUnprocessableEntity, f)
	}
	if address.Check(mailbox) != nil {
		return refuse("connect.bad.address", nil)
	}
	if !r.User.MaySee(mailbox) {
		return r.Refuse(http.StatusNotFound, "error.mailbox", "mailbox", mailbox)
	}
	s := &signIn{Mailbox: mailbox, untried: r.User.Administrator()}
	if f.SignIn != "" {
		as, _ := c.Vault.Canonical(f.SignIn)
		if address.Check(as) != nil {
			return refuse("connect.bad.signin", nil)
		}
		if as != mailbox {
			s.SignIn = as
		}
	}
	if s.Provider = c.provider(f.Provider); s.Provider == nil {
		return refuse("connect.bad.provider", nil)
	}
	if err := checkRenewal(c, r, s); err != nil {
		return err
	}
	switch err := begin(c, r, s, way(r.Form("way"))); {
	case errors.Is(err, errTooMany):
		return r.Refuse(http.StatusTooManyRequests, "connect.busy")
	case errors.Is(err, errNoCodes):
		return refuse("connect.bad.codes", nil)
	case err != nil:
		return refuse("connect.bad.begin", err)
	}
	return nil
}

// checkRenewal refuses an owner everything but a new grant in place of the present
// one: a mailbox that an administrator has removed stays removed, another provider
// may answer for another mailbox of that name, and where no one signs in an owner
// would prove nothing.
func checkRenewal(c *Connector, r *frame.Request, s *signIn) error {
	if r.User.Administrator() {
		return nil
	}
	a, err := c.Vault.Account(r.Context(), s.Mailbox)
	switch {
	case errors.Is(err, store.ErrNoMailbox):
		return r.Refuse(http.StatusForbidden, "connect.bad.owner", "mailbox", s.Mailbox)
	case err != nil:
		return err
	case c.Vault.State(a) == store.StateDisconnected, a.Provider != s.Provider.Name, !s.Provider.Flow.NeedsPerson():
		return r.Refuse(http.StatusForbidden, "connect.bad.owner", "mailbox", s.Mailbox)
	}
	return nil
}

// consentView is the page of a sign-in.
type consentView struct {
	*signIn
	Outcome *outcome
	Going   bool // the browser is on its way to the provider
	Trouble string
	Servers []mailsettings.Server // for the password that was made
	Cards   []mailsettings.Card
	Follow  bool // the page updates itself
}

// own returns the browser's sign-in that the page is about, or nil.
func own(c *Connector, r *frame.Request) *signIn {
	return c.signIns.find(r.HTTP.PathValue("id"), browserOf(r))
}

// consentPage says what the person does next, or shows the outcome.
func consentPage(c *Connector, r *frame.Request) error {
	s := own(c, r)
	if s == nil {
		return r.Refuse(http.StatusNotFound, "connect.lost")
	}
	return showConsent(c, r, http.StatusOK, s, "")
}

func showConsent(c *Connector, r *frame.Request, status int, s *signIn, trouble string) error {
	view := consentView{signIn: s, Outcome: s.Outcome(), Trouble: trouble}
	switch {
	case view.Outcome != nil:
		if made := view.Outcome.Made; made != nil {
			view.Servers, view.Cards = mailsettings.ServersFor(c.Servers(), made), c.Cards(view.Outcome.Mailbox, r.Language)
		}
		if view.Outcome.Mailbox != "" && s.Invitation != nil {
			frame.SetLaxCookie(r, invitationCookie, "", 0)
		}
	case s.Device != nil, s.Answered():
		view.Follow = true
	case s.Paste:
	case s.leave():
		// The answer to the form is no redirect: browsers hold that to the policy
		// of the page that had the form, and providers redirect on to names that
		// no policy can list.
		view.Going = true
		r.W.Header().Set("Refresh", "0; url="+s.Page)
	}
	return r.ShowAs(status, "consent", view)
}

// paste takes the address that the provider sent a browser to, where nothing
// listened.
func paste(c *Connector, r *frame.Request) error {
	s := own(c, r)
	if s == nil || s.consent == nil {
		return r.Refuse(http.StatusNotFound, "connect.lost")
	}
	pasted := r.Form("address")
	if !s.Answered() {
		if err := s.consent.Validate(pasted); err != nil {
			return showConsent(c, r, http.StatusUnprocessableEntity, s, r.T("connect.bad.paste"))
		}
		finish(c, r, s, pasted)
	}
	return r.Redirect("/connect/" + s.ID)
}

// forgetPassword is for a person who has copied the password.
func forgetPassword(c *Connector, r *frame.Request) error {
	s := own(c, r)
	if s == nil {
		return r.Refuse(http.StatusNotFound, "connect.lost")
	}
	s.forget()
	return r.Redirect("/connect/" + s.ID)
}
