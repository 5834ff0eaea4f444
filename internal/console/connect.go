package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"authferry/internal/secret"
	"authferry/tokens/oauth"
)

// signIns sends people to their provider's sign-in page and takes them in when
// they come back: connecting a mailbox, whoever asked for it.
//
//	GET  /connect             which mailbox, at which provider
//	POST /connect             begins an errand
//	GET  /connect/{errand}    what the person has to do next, or what came of it
//	GET  /connect/callback    where the provider sends the browser back to
//	POST /connect/{errand}/paste   the same, by hand
//	POST /connect/{errand}/forget  the password that was shown is kept elsewhere
type signIns struct {
	conclusion
	console   *Console
	errands   *errands
	strangers *guesses // who come with links that lead nowhere
}

const (
	callbackPath = "/connect/callback"
	// callbackPatience is how long the browser is kept waiting for the proof,
	// before a page says that it goes on.
	callbackPatience = 12 * time.Second
	// pastePort is in the address that is pasted back: nobody listens there.
	pastePort = "47653"
)

func (c *Console) mountConnect() {
	d := &documents{vault: c.Vault, now: func() time.Time { return c.now() }}
	s := &signIns{
		conclusion: conclusion{d, c.Log}, console: c,
		errands: newErrands(d.now), strangers: newGuesses(),
	}
	c.closers = append(c.closers, s.errands.close)
	c.handle("GET /connect", signedIn, s.connectPage)
	c.handle("GET /mailboxes/{mailbox}/connect", signedIn, s.connectPage)
	c.handle("POST /connect", signedIn, s.connect)
	c.handle("GET /connect/{errand}", anyone, s.errandPage)
	c.handle("GET "+callbackPath, anyone, s.callback)
	c.handle("POST /connect/{errand}/paste", anyone, s.paste)
	c.handle("POST /connect/{errand}/forget", anyone, s.forget)
	s.mountInvite()
}

// errandCookie tells the browser that an errand was begun in. It is Lax and not
// Strict, since it has to come along when the provider sends the browser back;
// it gives no right but to go on with what was begun.
const errandCookie = "authferry-errand"

func (v *visit) lasting(name string) string {
	if v.secure() {
		return "__Host-" + name
	}
	return name
}

// setLax gives the browser a cookie that comes along from other sites' pages.
func (v *visit) setLax(name string, value secret.String, life time.Duration) {
	cookie := &http.Cookie{
		Name: v.lasting(name), Value: value.Reveal(), Path: "/", MaxAge: int(life.Seconds()),
		HttpOnly: true, Secure: v.secure(), SameSite: http.SameSiteLaxMode,
	}
	if value.Empty() {
		cookie.MaxAge = -1
	}
	http.SetCookie(v.w, cookie)
}

func (v *visit) lax(name string) secret.String {
	if cookie, err := v.r.Cookie(v.lasting(name)); err == nil {
		return secret.String(cookie.Value)
	}
	return ""
}

// browser is the hash of what the errands of this browser are bound to.
func (v *visit) browser() string {
	token := v.lax(errandCookie)
	if token.Empty() {
		return ""
	}
	return hashToken(token)
}

// bind binds the browser for an errand.
func (v *visit) bind() string {
	token := v.lax(errandCookie)
	if len(token) != len(newToken()) { // not one of ours
		token = newToken()
	}
	v.setLax(errandCookie, token, errandLife+outcomeLife)
	return hashToken(token)
}

// way is how to get to the provider's page.
type way string

const (
	byPage  way = "page"
	byPaste way = "paste"
	byCode  way = "code"
)

var (
	errTooMany = errors.New("too many sign-ins are under way")
	errNoCodes = errors.New("the provider has no device codes")
	errNoProof = errors.New("nobody signs in at the provider any more, so an invitation would prove nothing: " +
		"revoke it, and enrol the mailbox as an administrator")
)

// begin begins an errand, and sends the browser to its page.
func (s *signIns) begin(v *visit, e *errand, w way) error {
	if e.Invitation != nil && !e.Provider.Flow.NeedsPerson() {
		return errNoProof
	}
	e.from, e.browser = v.Access().from(v.r), v.bind()
	if err := s.prepare(v, e, w); err != nil {
		return err
	}
	if !s.errands.add(e) {
		return errTooMany
	}
	switch {
	case e.Device != nil:
		s.errands.run(e, time.Until(e.Device.Expires)+finishTime, func(ctx context.Context) *outcome {
			t, err := e.Device.Wait(ctx)
			if err != nil {
				return &outcome{Failure: "connect.fail.code", Detail: err.Error(), Again: true}
			}
			return s.conclude(ctx, e, t)
		})
	case !e.Provider.Flow.NeedsPerson():
		e.take()
		s.errands.run(e, finishTime, func(ctx context.Context) *outcome {
			t, err := e.Provider.Mint(ctx, e.Mailbox)
			if err != nil {
				return &outcome{Failure: "connect.fail.alone", Pairs: []any{"mailbox", e.Mailbox}, Detail: err.Error()}
			}
			return s.conclude(ctx, e, t)
		})
	}
	return v.redirect("/connect/" + e.ID)
}

// prepare asks for a device code, or makes the address of the consent page.
func (s *signIns) prepare(v *visit, e *errand, w way) (err error) {
	p := e.Provider
	if !p.Flow.NeedsPerson() {
		return nil
	}
	if w == byCode {
		if p.DeviceURL == "" {
			return errNoCodes
		}
		e.Device, err = p.StartDevice(v.r.Context())
		return err
	}
	e.Redirect, e.Paste = redirectTo(v.Access(), p, w)
	if e.consent, err = p.NewConsent(e.Redirect, e.Person()); err != nil {
		return err
	}
	if e.Person() == "" {
		e.consent.URL = withoutHint(e.consent.URL, e.Invitation.Domain, p)
	}
	return nil
}

// callback takes in a browser that the provider sent back. The code leaves the
// address bar at once.
func (s *signIns) callback(v *visit) error {
	if home, ok := s.elsewhere(v); ok {
		// Cookies belong to a name: a browser that was sent to localhost has
		// those of 127.0.0.1 with it only there.
		http.Redirect(v.w, v.r, home+callbackPath+"?"+v.r.URL.RawQuery, http.StatusSeeOther)
		return nil
	}
	e := s.errands.returned(secret.String(v.r.URL.Query().Get("state")), v.browser())
	if e == nil {
		return v.refuse(http.StatusBadRequest, "connect.lost")
	}
	s.finish(v, e, v.r.URL.RequestURI())
	return v.redirect("/connect/" + e.ID)
}

// elsewhere is the name the errand was begun at, where the browser came to
// another one of the same loopback console.
func (s *signIns) elsewhere(v *visit) (home string, ok bool) {
	a := v.Access()
	u, err := url.Parse(a.URL)
	if err != nil || !isLoopbackName(u.Hostname()) || !isLoopbackName(hostName(v.r.Host)) {
		return "", false
	}
	return a.origin(), hostName(v.r.Host) != hostName(u.Host)
}

// finish goes on with the address that a browser was sent to. It waits for a
// while, since most are done by then.
func (s *signIns) finish(v *visit, e *errand, address string) {
	if !e.take() {
		return
	}
	denied := redirectError(address)
	s.errands.run(e, finishTime, func(ctx context.Context) *outcome {
		t, err := e.consent.Finish(ctx, address)
		switch {
		case err != nil && denied == "access_denied":
			return &outcome{Failure: "connect.fail.denied", Detail: err.Error(), Again: true}
		case err != nil && denied != "":
			return &outcome{Failure: "connect.fail.page", Pairs: []any{"provider", e.Provider.Brand()}, Detail: err.Error(), Again: true}
		case errors.Is(err, oauth.ErrUnavailable):
			return unavailable(err)
		case err != nil:
			return &outcome{Failure: "connect.fail.exchange", Pairs: []any{"provider", e.Provider.Brand()}, Detail: err.Error(), Again: true}
		}
		return s.conclude(ctx, e, t)
	})
	patience := time.NewTimer(callbackPatience)
	defer patience.Stop()
	select {
	case <-e.done:
	case <-patience.C:
	case <-v.r.Context().Done():
	}
}

// chosen finds a provider by its name; nil if there is none.
func (s *signIns) chosen(name string) *oauth.Provider {
	list := s.console.Providers()
	if i := slices.IndexFunc(list, func(p *oauth.Provider) bool { return p.Name == name }); i >= 0 {
		return list[i]
	}
	return nil
}
