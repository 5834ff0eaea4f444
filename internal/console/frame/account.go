package frame

import (
	"net/http"

	"authferry/internal/console/people"
	"authferry/internal/secret"
	"authferry/tokens"
)

func mountAccount(f *Frame) {
	f.Handle("GET /account", SignedIn, func(r *Request) error { return accountPage(r, http.StatusOK, "") })
	f.Handle("POST /account/password", SignedIn, setPassword)
	f.Handle("POST /account/sessions/end", SignedIn, endSession)
}

// accountPage shows the signed-in user's browsers, and a form for their password.
func accountPage(r *Request, status int, trouble string) error {
	if r.Session == nil { // a reverse proxy signs them in: there is nothing to change here
		return r.Redirect("/")
	}
	d, err := r.frame.Users.Read(r.Context())
	if err != nil {
		return err
	}
	return r.ShowAs(status, "account", struct {
		Browsers []*people.Session
		Current  string
		AskOld   bool
		Trouble  string
	}{d.SessionsOf(r.Session.User), r.Session.Key(), r.User.HasPassword() && !r.Session.ByLink, trouble})
}

const minPassword, maxPassword = 12, 255

// setPassword lets the user sign in without a link. It signs out their other
// browsers: the reason for a new password may be that the old one is known.
func setPassword(r *Request) error {
	if r.Session == nil {
		return r.Refuse(http.StatusForbidden, "error.session")
	}
	chosen := secret.String(r.HTTP.PostFormValue("new"))
	if n := len([]rune(chosen.Reveal())); n < minPassword || len(chosen) > maxPassword {
		return accountPage(r, http.StatusUnprocessableEntity, r.N("account.length", minPassword))
	}
	if r.User.HasPassword() && !r.Session.ByLink {
		right, wait, err := verify(r, r.Session.User, r.User.Password.Hash, secret.String(r.HTTP.PostFormValue("old")))
		if err != nil {
			return err
		}
		if wait > 0 {
			r.W.Header().Set("Retry-After", retryAfter(wait))
			return accountPage(r, http.StatusTooManyRequests, r.T("signin.toomany", "span", r.Span(wait)))
		}
		if !right {
			return accountPage(r, http.StatusForbidden, r.T("account.wrong"))
		}
	}
	kept := people.Verifier{Hash: tokens.HashChosen(chosen)}
	err := r.frame.Users.Edit(r.Context(), func(d *people.Directory) error {
		u := d.Users[r.Session.User]
		if u == nil {
			return r.Refuse(http.StatusForbidden, "error.session")
		}
		u.Password = kept
		for _, s := range d.SessionsOf(r.Session.User) {
			if s.Key() != r.Session.Key() {
				delete(d.Sessions, s.Key())
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.Note("console: password set")
	return r.Done("/account", "password-set")
}

// endSession signs out one of the user's own browsers.
func endSession(r *Request) error {
	if r.Session == nil {
		return r.Refuse(http.StatusForbidden, "error.session")
	}
	key := r.HTTP.PostFormValue("session")
	err := r.frame.Users.Edit(r.Context(), func(d *people.Directory) error {
		if s := d.Sessions[key]; s != nil && s.User == r.Session.User {
			delete(d.Sessions, key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.Done("/account", "browser-out")
}
