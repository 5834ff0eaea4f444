package frame

import (
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"

	"authferry/internal/console/people"
	"authferry/internal/printable"
	"authferry/internal/secret"
	"authferry/tokens"
)

func mountSignIn(f *Frame) {
	f.Handle("GET /signin", Anyone, signInPage)
	f.Handle("POST /signin", Anyone, signIn)
	f.Handle("POST /signout", SignedIn, signOut)
	f.Handle("GET /enter/{token}", Anyone, linkPage)
	f.Handle("POST /enter", Anyone, signInByLink)
}

// signInForm is the sign-in page: what was typed, and what was wrong with it.
type signInForm struct {
	Name, Next, Trouble string
	First               bool // there is no administrator yet
}

func signInPage(r *Request) error {
	if r.User != nil {
		return r.Redirect(r.Next())
	}
	some, err := r.frame.HasAdministrator(r.Context())
	if err != nil {
		return err
	}
	return r.Show("signin", signInForm{Next: r.Next(), First: !some})
}

// signIn signs in a user with a password. An unknown name takes as long as a wrong
// password, and gets the same answer.
func signIn(r *Request) error {
	form := signInForm{Name: r.Form("name"), Next: r.Next()}
	d, err := r.frame.Users.Read(r.Context())
	if err != nil {
		return err
	}
	kept, given := unknownPassword(), secret.String(r.HTTP.PostFormValue("password"))
	who := d.Users[people.FoldName(form.Name)]
	if who != nil && who.HasPassword() {
		kept = who.Password.Hash
	}
	right, wait, err := verify(r, form.Name, kept, given)
	if err != nil {
		return err
	}
	if wait > 0 {
		form.Trouble = r.T("signin.toomany", "span", r.Span(wait))
		r.W.Header().Set("Retry-After", retryAfter(wait))
		return r.ShowAs(http.StatusTooManyRequests, "signin", form)
	}
	if !right || who == nil || !who.HasPassword() {
		r.frame.Log.Info("console sign-in refused", zap.String("client", r.From().String()), zap.String("user", printable.Quote(form.Name)))
		form.Trouble = r.T("signin.wrong")
		return r.ShowAs(http.StatusForbidden, "signin", form)
	}
	err = beginSession(r, false, func(d *people.Directory) (*people.User, error) {
		now := d.Users[people.FoldName(form.Name)]
		if now == nil || now.Password != who.Password { // it changed during the verification
			return nil, r.Refuse(http.StatusForbidden, "error.session")
		}
		return now, nil
	})
	if err != nil {
		return err
	}
	r.frame.Log.Info("console sign-in", zap.String("client", r.From().String()), zap.String("user", who.Name), zap.String("by", "password"))
	return r.Redirect(form.Next)
}

// verify verifies a password for a name when its turn comes, and counts a wrong
// one. wait is how long to wait instead; nothing was verified then. It is checked
// again in turn, and a failure is counted in turn, so that many requests at once
// are no more guesses than one after the other.
func verify(r *Request, name string, kept, given secret.String) (right bool, wait time.Duration, err error) {
	f, from := r.frame, r.From()
	if wait := f.guesses.wait(from, name, r.Now()); wait > 0 {
		return false, wait, nil
	}
	select {
	case f.queue <- struct{}{}:
		defer func() { <-f.queue }()
	default:
		return false, queueWait, nil
	}
	select {
	case f.verifying <- struct{}{}:
		defer func() { <-f.verifying }()
	case <-r.Context().Done():
		return false, 0, r.Context().Err()
	}
	if wait := f.guesses.wait(from, name, r.Now()); wait > 0 {
		return false, wait, nil
	}
	switch right, err = tokens.MatchChosen(kept, given); {
	case err != nil:
	case right:
		f.guesses.forget(from, name)
	default:
		f.guesses.failed(from, name, r.Now())
	}
	return right, 0, err
}

// signOut ends the session.
func signOut(r *Request) error {
	if r.Session != nil {
		err := r.frame.Users.Edit(r.Context(), func(d *people.Directory) error {
			delete(d.Sessions, r.Session.Key())
			return nil
		})
		if err != nil {
			return err
		}
	}
	setSession(r, "")
	// The browser drops the pages in its cache and its history as well.
	r.W.Header().Set("Clear-Site-Data", `"cache"`)
	return r.Redirect("/signin?done=signed-out")
}

// linkPage asks before a link is used up: mail scanners and previews open links
// too, but press no button.
func linkPage(r *Request) error {
	token := r.HTTP.PathValue("token")
	d, err := r.frame.Users.Read(r.Context())
	if err != nil {
		return err
	}
	link := d.Links[people.HashToken(secret.String(token))]
	if link == nil || !r.Now().Before(link.Expires) {
		return r.Refuse(http.StatusNotFound, "error.link")
	}
	return r.Show("enter", struct {
		Token, Name string
		Owner       bool
		Mailboxes   []string
	}{token, link.Name, link.Role == people.Owner, link.Mailboxes})
}

// signInByLink signs in the bearer of a link, once.
func signInByLink(r *Request) error {
	if err := tooMany(r, r.frame.guesses); err != nil {
		return err
	}
	token := secret.String(r.HTTP.PostFormValue("token"))
	var who *people.User
	err := beginSession(r, true, func(d *people.Directory) (_ *people.User, err error) {
		who, err = d.Redeem(token, r.Now())
		return who, err
	})
	if errors.Is(err, people.ErrLink) {
		r.frame.guesses.failed(r.From(), "", r.Now())
		return r.Refuse(http.StatusNotFound, "error.link")
	}
	if err != nil {
		return err
	}
	r.frame.Log.Info("console sign-in", zap.String("client", r.From().String()), zap.String("user", who.Name), zap.String("by", "link"))
	if !who.HasPassword() {
		return r.Redirect("/account?done=welcome")
	}
	return r.Redirect("/")
}

// tooMany refuses a browser whose network has to wait after wrong attempts.
func tooMany(r *Request, g *guesses) error {
	wait := g.wait(r.From(), "", r.Now())
	if wait == 0 {
		return nil
	}
	r.W.Header().Set("Retry-After", retryAfter(wait))
	return r.Refuse(http.StatusTooManyRequests, "signin.toomany", "span", r.Span(wait))
}

// CheckLinkLimit refuses a browser whose network has opened too many wrong
// invitation links.
func CheckLinkLimit(r *Request) error { return tooMany(r, r.frame.strangers) }

// CountWrongLink counts a wrong invitation link.
func CountWrongLink(r *Request) { r.frame.strangers.failed(r.From(), "", r.Now()) }
