package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"

	"authferry/internal/printable"
	"authferry/internal/secret"
	"authferry/tokens"
)

func escapeQuery(s string) string { return url.QueryEscape(s) }

func (c *Console) mountSignIn() {
	c.handle("GET /signin", anyone, (*visit).signInPage)
	c.handle("POST /signin", anyone, (*visit).signInByPassword)
	c.handle("POST /signout", signedIn, (*visit).signOut)
	c.handle("GET /enter/{token}", anyone, (*visit).enterPage)
	c.handle("POST /enter", anyone, (*visit).enter)
}

// signInForm is the sign-in page: what was typed, and what was wrong with it.
type signInForm struct {
	Name, Next, Trouble string
	First               bool // nobody could sign in yet
}

func (v *visit) signInPage() error {
	if v.user != nil {
		return v.redirect(v.next())
	}
	some, err := v.HasAdministrator(v.r.Context())
	if err != nil {
		return err
	}
	return v.show("signin", signInForm{Next: v.next(), First: !some})
}

// signInByPassword lets in who knows a password. An unknown name takes as long
// as a wrong password, and is told the same.
func (v *visit) signInByPassword() error {
	form := signInForm{Name: strings.TrimSpace(v.r.PostFormValue("name")), Next: v.next()}
	from := v.Access().from(v.r)
	reg, err := v.readRegister(v.r.Context())
	if err != nil {
		return err
	}
	kept, given := unknownPassword(), secret.String(v.r.PostFormValue("password"))
	who := reg.Users[foldName(form.Name)]
	if who != nil && who.HasPassword() {
		kept = who.Password.String
	}
	right, wait, err := v.verify(form.Name, kept, given)
	if err != nil {
		return err
	}
	if wait > 0 {
		form.Trouble = v.T("signin.toomany", "span", v.Span(wait))
		v.w.Header().Set("Retry-After", retryAfter(wait))
		return v.showAs(http.StatusTooManyRequests, "signin", form)
	}
	if !right || who == nil || !who.HasPassword() {
		v.Log.Info("console sign-in refused", zap.String("client", from.String()), zap.String("user", printable.Quote(form.Name)))
		form.Trouble = v.T("signin.wrong")
		return v.showAs(http.StatusForbidden, "signin", form)
	}
	err = v.signIn(false, func(reg *register) (*user, error) {
		now := reg.Users[foldName(form.Name)]
		if now == nil || now.Password != who.Password { // changed while it was verified
			return nil, v.refuse(http.StatusForbidden, "error.session")
		}
		return now, nil
	})
	if err != nil {
		return err
	}
	v.Log.Info("console sign-in", zap.String("client", from.String()), zap.String("user", who.Name), zap.String("by", "password"))
	return v.redirect(form.Next)
}

// verify verifies a password for a name when its turn comes, and counts a wrong
// one. wait is how long to wait instead: nothing was verified then. It is asked
// for in turn, and a failure counted in turn, so that many requests at once are
// no more guesses than one after the other.
func (v *visit) verify(name string, kept, given secret.String) (right bool, wait time.Duration, err error) {
	from := v.Access().from(v.r)
	if wait := v.guesses.wait(from, name, v.now()); wait > 0 {
		return false, wait, nil
	}
	select {
	case v.queue <- struct{}{}:
		defer func() { <-v.queue }()
	default:
		return false, queueWait, nil
	}
	select {
	case v.verifying <- struct{}{}:
		defer func() { <-v.verifying }()
	case <-v.r.Context().Done():
		return false, 0, v.r.Context().Err()
	}
	if wait := v.guesses.wait(from, name, v.now()); wait > 0 {
		return false, wait, nil
	}
	switch right, err = tokens.MatchChosen(kept, given); {
	case err != nil:
	case right:
		v.guesses.forget(from, name)
	default:
		v.guesses.failed(from, name, v.now())
	}
	return right, 0, err
}

// signOut ends the session.
func (v *visit) signOut() error {
	if v.session != nil {
		err := v.editRegister(v.r.Context(), func(reg *register) error {
			delete(reg.Sessions, v.session.key)
			return nil
		})
		if err != nil {
			return err
		}
	}
	v.setSession("")
	// What the browser still has in its cache and its history goes as well.
	v.w.Header().Set("Clear-Site-Data", `"cache"`)
	return v.redirect("/signin?done=signed-out")
}

// errLink says that a link lets nobody in.
var errLink = errors.New("the link is used up, over or unknown")

// enterPage asks before it uses a link up: mail scanners and previews open links
// too, but press no button.
func (v *visit) enterPage() error {
	token := v.r.PathValue("token")
	reg, err := v.readRegister(v.r.Context())
	if err != nil {
		return err
	}
	link := reg.Links[hashToken(secret.String(token))]
	if link == nil || !v.now().Before(link.Expires) {
		return v.refuse(http.StatusNotFound, "error.link")
	}
	return v.show("enter", struct {
		Token, Name string
		Owner       bool
		Mailboxes   []string
	}{token, link.Name, link.Role == roleOwner, link.Mailboxes})
}

// enter lets in the bearer of a link, once.
func (v *visit) enter() error {
	from := v.Access().from(v.r)
	if wait := v.guesses.wait(from, "", v.now()); wait > 0 {
		v.w.Header().Set("Retry-After", retryAfter(wait))
		return v.refuse(http.StatusTooManyRequests, "signin.toomany", "span", v.Span(wait))
	}
	key := hashToken(secret.String(v.r.PostFormValue("token")))
	var who *user
	err := v.signIn(true, func(reg *register) (*user, error) {
		link := reg.Links[key]
		if link == nil { // those that are over have been pruned
			return nil, errLink
		}
		// An owner's link must not open what became an administrator's name since.
		if have := reg.Users[foldName(link.Name)]; have != nil && have.Role != link.Role {
			return nil, errLink
		}
		delete(reg.Links, key)
		who = reg.admit(link, v.now())
		return who, nil
	})
	if errors.Is(err, errLink) {
		v.guesses.failed(from, "", v.now())
		return v.refuse(http.StatusNotFound, "error.link")
	}
	if err != nil {
		return err
	}
	v.Log.Info("console sign-in", zap.String("client", from.String()), zap.String("user", who.Name), zap.String("by", "link"))
	if !who.HasPassword() {
		return v.redirect("/account?done=welcome")
	}
	return v.redirect("/")
}
