// Package connect connects mailboxes from a browser: it sends the person to the
// provider's sign-in page, receives them when they come back, proves the grant
// and stores it. Signed-in users connect mailboxes directly; invitations let the
// owner of a mailbox do it without an account of the console.
//
// A sign-in (signin.go) begins in a browser and ends in the same browser. It is
// one of three kinds: a redirect to the console, an address that the person pastes
// (redirect.go), or a device code. conclude.go makes a connected mailbox of it.
package connect

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"go.uber.org/zap"

	"authferry/internal/console/frame"
	"authferry/internal/console/people"
	"authferry/internal/mailsettings"
	"authferry/internal/secret"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// Deps is what the pages work on.
type Deps struct {
	Vault     *tokens.Vault
	Log       *zap.Logger
	Now       func() time.Time
	Providers func() []*oauth.Provider
	Servers   func() []mailsettings.Server
	Cards     func(mailbox, language string) []mailsettings.Card
}

// Connector serves the pages that connect mailboxes:
//
//	GET  /connect                  which mailbox, at which provider
//	POST /connect                  begins a sign-in
//	GET  /connect/{id}             what the person does next, or the outcome
//	GET  /connect/callback         the provider sends the browser back here
//	POST /connect/{id}/paste       the same, by hand
//	POST /connect/{id}/forget      the person has copied the password
//	GET  /invitations              all invitations, and a form for another
//	POST /invitations              makes one, and shows its link, once
//	POST /invitations/{id}/revoke  ends one that has not been used
//	GET  /invitation/{token}       the link; a redirect removes the token from the address bar
//	GET  /invitation               what will happen
//	POST /invitation               begins the sign-in
type Connector struct {
	Deps
	invitations people.InvitationStore
	signIns     *signIns
}

// Mount mounts the pages. Close ends the sign-ins that are under way.
func Mount(f *frame.Frame, d Deps) *Connector {
	c := &Connector{Deps: d, invitations: people.InvitationStore{Vault: d.Vault, Now: d.Now}, signIns: newSignIns(d.Now)}
	handle := func(pattern string, who frame.Audience, do func(*Connector, *frame.Request) error) {
		f.Handle(pattern, who, func(r *frame.Request) error { return do(c, r) })
	}
	handle("GET /connect", frame.SignedIn, connectPage)
	handle("GET /mailboxes/{mailbox}/connect", frame.SignedIn, connectPage)
	handle("POST /connect", frame.SignedIn, connect)
	handle("GET /connect/{id}", frame.Anyone, consentPage)
	handle("GET "+callbackPath, frame.Anyone, callback)
	handle("POST /connect/{id}/paste", frame.Anyone, paste)
	handle("POST /connect/{id}/forget", frame.Anyone, forgetPassword)
	handle("GET /invitations", frame.Administrators, invitationsPage)
	handle("POST /invitations", frame.Administrators, makeInvitation)
	handle("POST /invitations/{id}/revoke", frame.Administrators, revokeInvitation)
	handle("GET /invitation/{token}", frame.Anyone, openLink)
	handle("GET /invitation", frame.Anyone, invitationPage)
	handle("POST /invitation", frame.Anyone, acceptInvitation)
	return c
}

// Close ends the sign-ins that are under way, and waits for it.
func (c *Connector) Close() { c.signIns.close() }

// provider returns the provider of a name, or nil.
func (c *Connector) provider(name string) *oauth.Provider {
	list := c.Providers()
	if i := slices.IndexFunc(list, func(p *oauth.Provider) bool { return p.Name == name }); i >= 0 {
		return list[i]
	}
	return nil
}

// signInCookie names the browser that a sign-in began in. It is Lax and not
// Strict, since the browser has to send it when the provider sends it back. It
// allows nothing but to go on with that sign-in.
const signInCookie = "authferry-errand"

// browserOf returns the hash that the sign-ins of a browser are bound to.
func browserOf(r *frame.Request) string {
	token := frame.LaxCookie(r, signInCookie)
	if token.Empty() {
		return ""
	}
	return people.HashToken(token)
}

// bindBrowser gives the browser the cookie, and returns its hash.
func bindBrowser(r *frame.Request) string {
	token := frame.LaxCookie(r, signInCookie)
	if len(token) != len(people.NewToken()) { // absent or forged
		token = people.NewToken()
	}
	frame.SetLaxCookie(r, signInCookie, token, signInLife+outcomeLife)
	return people.HashToken(token)
}

var (
	errTooMany = errors.New("too many sign-ins are under way")
	errNoCodes = errors.New("the provider has no device codes")
	errNoProof = errors.New("the provider no longer asks anyone to sign in, so an invitation would prove nothing: " +
		"revoke it, and enrol the mailbox as an administrator")
)

// begin begins a sign-in, and sends the browser to its page.
func begin(c *Connector, r *frame.Request, s *signIn, w way) error {
	if s.Invitation != nil && !s.Provider.Flow.NeedsPerson() {
		return errNoProof
	}
	s.from, s.browser = r.From(), bindBrowser(r)
	if err := prepare(r, s, w); err != nil {
		return err
	}
	if !c.signIns.add(s) {
		return errTooMany
	}
	switch {
	case s.Device != nil:
		c.signIns.run(s, time.Until(s.Device.Expires)+finishTime, func(ctx context.Context) *outcome {
			t, err := s.Device.Wait(ctx)
			if err != nil {
				return &outcome{Failure: "connect.fail.code", Detail: err.Error(), Again: true}
			}
			return c.conclude(ctx, s, t)
		})
	case !s.Provider.Flow.NeedsPerson():
		s.take()
		c.signIns.run(s, finishTime, func(ctx context.Context) *outcome {
			t, err := s.Provider.Mint(ctx, s.Mailbox)
			if err != nil {
				return &outcome{Failure: "connect.fail.alone", Pairs: []any{"mailbox", s.Mailbox}, Detail: err.Error()}
			}
			return c.conclude(ctx, s, t)
		})
	}
	return r.Redirect("/connect/" + s.ID)
}

func (c *Connector) conclude(ctx context.Context, s *signIn, t *oauth.Token) *outcome {
	return (&conclusion{c.invitations, c.Log}).conclude(ctx, s, t)
}

// prepare asks for a device code, or makes the address of the consent page.
func prepare(r *frame.Request, s *signIn, w way) (err error) {
	p := s.Provider
	if !p.Flow.NeedsPerson() {
		return nil
	}
	if w == byCode {
		if p.DeviceURL == "" {
			return errNoCodes
		}
		s.Device, err = p.StartDevice(r.Context())
		return err
	}
	s.Redirect, s.Paste = redirectTo(r.Access.URL, p, w)
	if s.consent, err = p.NewConsent(s.Redirect, s.Person()); err != nil {
		return err
	}
	if s.Person() == "" {
		s.consent.URL = withoutHint(s.consent.URL, s.Invitation.Domain, p)
	}
	return nil
}

// callback receives a browser that the provider sent back. A redirect removes the
// code from the address bar at once.
func callback(c *Connector, r *frame.Request) error {
	if home, ok := elsewhere(r); ok {
		// Cookies belong to a host name: a browser that was sent to localhost sends
		// the cookies of 127.0.0.1 only there.
		http.Redirect(r.W, r.HTTP, home+callbackPath+"?"+r.HTTP.URL.RawQuery, http.StatusSeeOther)
		return nil
	}
	s := c.signIns.byState(secret.String(r.HTTP.URL.Query().Get("state")), browserOf(r))
	if s == nil {
		return r.Refuse(http.StatusBadRequest, "connect.lost")
	}
	finish(c, r, s, r.HTTP.URL.RequestURI())
	return r.Redirect("/connect/" + s.ID)
}

// elsewhere returns the origin of the console if the browser came to a loopback
// console by another name than the one the sign-in began at.
func elsewhere(r *frame.Request) (home string, ok bool) {
	u, err := url.Parse(r.Access.URL)
	host := frame.HostName(r.HTTP.Host)
	if err != nil || !isLoopbackName(u.Hostname()) || !isLoopbackName(host) {
		return "", false
	}
	return r.Access.Origin(), host != frame.HostName(u.Host)
}

// callbackWait is how long the browser waits for the proof, before a page says
// that it goes on.
const callbackWait = 12 * time.Second

// finish goes on with the address that the provider sent a browser to. It waits a
// while, since most sign-ins have ended by then.
func finish(c *Connector, r *frame.Request, s *signIn, address string) {
	if !s.take() {
		return
	}
	denied := redirectError(address)
	c.signIns.run(s, finishTime, func(ctx context.Context) *outcome {
		t, err := s.consent.Finish(ctx, address)
		switch {
		case err != nil && denied == "access_denied":
			return &outcome{Failure: "connect.fail.denied", Detail: err.Error(), Again: true}
		case err != nil && denied != "":
			return &outcome{Failure: "connect.fail.page", Pairs: []any{"provider", s.Provider.Brand()}, Detail: err.Error(), Again: true}
		case errors.Is(err, oauth.ErrUnavailable):
			return unavailable(err)
		case err != nil:
			return &outcome{Failure: "connect.fail.exchange", Pairs: []any{"provider", s.Provider.Brand()}, Detail: err.Error(), Again: true}
		}
		return c.conclude(ctx, s, t)
	})
	wait := time.NewTimer(callbackWait)
	defer wait.Stop()
	select {
	case <-s.done:
	case <-wait.C:
	case <-r.Context().Done():
	}
}
