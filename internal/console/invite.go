package console

import (
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"

	"authferry/internal/secret"
	"authferry/tokens/oauth"
)

// Invitations let the owner of a mailbox connect it, without any other right
// here:
//
//	GET  /invitations               those there are, and a form for another
//	POST /invitations               makes one, and shows its link, once
//	POST /invitations/{id}/revoke   ends one that nobody has used
//	GET  /invitation/{token}        the link: the token leaves the address bar at once
//	GET  /invitation                what will happen
//	POST /invitation                begins the errand
func (s *signIns) mountInvite() {
	c := s.console
	c.handle("GET /invitations", administrators, s.invitationsPage)
	c.handle("POST /invitations", administrators, s.makeInvitation)
	c.handle("POST /invitations/{id}/revoke", administrators, s.revokeInvitation)
	c.handle("GET /invitation/{token}", anyone, s.openLink)
	c.handle("GET /invitation", anyone, s.invitationPage)
	c.handle("POST /invitation", anyone, s.accept)
}

// invitationCookie holds the token of a link, so that the page that follows has
// an address that tells nobody anything. It is Lax, since links are opened from
// mails: a Strict one would not come along.
const (
	invitationCookie     = "authferry-invitation"
	invitationCookieLife = 2 * time.Hour
)

// lives are how long a link may be good, in hours.
var lives = []int{24, 72, 7 * 24, 30 * 24}

// Purposes are what passwords are often for, to choose a name from.
var purposes = []string{"Livespace CRM", "Firmao CRM", "CM.com Customer Contact", "Dynamics 365", "Outlook", "Printer"}

type invitationsView struct {
	Form      inviteForm
	Providers []*oauth.Provider
	Lives     []int
	Purposes  []string
	List      []invitationRow
}

type invitationRow struct {
	Invitation
	State invitationState
	Open  bool
}

func (s *signIns) invitationsPage(v *visit) error {
	return s.showInvitations(v, http.StatusOK, inviteForm{
		For: v.r.URL.Query().Get("mailbox"), Hours: int(invitationLife.Hours()), Password: true,
		Protocols: []string{"imap", "pop3", "smtp"},
	})
}

func (s *signIns) showInvitations(v *visit, status int, f inviteForm) error {
	list, err := s.invitations(v.r.Context())
	if err != nil {
		return err
	}
	view := invitationsView{Form: f, Lives: lives, Purposes: purposes}
	for _, p := range s.console.Providers() {
		if p.Flow.NeedsPerson() { // elsewhere there is nobody to invite
			view.Providers = append(view.Providers, p)
		}
	}
	if view.Form.Provider == "" {
		view.Form.Provider = likely(f.For, view.Providers)
	}
	for _, i := range list {
		state := i.state(s.now())
		view.List = append(view.List, invitationRow{i, state, state == invitationOpen})
	}
	return v.showAs(status, "invitations", view)
}

// makeInvitation makes one and shows its link, which nothing can show again.
func (s *signIns) makeInvitation(v *visit) error {
	f := readInviteForm(v.r)
	i, err := s.readInvitation(f)
	if said, ok := errors.AsType[complaints](err); ok {
		f.Trouble = v.complaintText(said)
		return s.showInvitations(v, http.StatusUnprocessableEntity, f)
	}
	i.By = v.user.Name
	i, token, err := s.invite(v.r.Context(), i, time.Duration(f.Hours)*time.Hour)
	if err != nil {
		return err
	}
	v.Log.Info("invitation made", zap.String("invitation", i.ID), zap.String("for", i.whom()), zap.String("user", v.user.Name))
	return v.show("invited", struct {
		Invitation
		Link string
	}{i, v.Access().URL + "/invitation/" + token.Reveal()})
}

// whom is whose invitation it is, for logs.
func (i *Invitation) whom() string {
	if i.Mailbox != "" {
		return i.Mailbox
	}
	return "@" + i.Domain
}

func (s *signIns) revokeInvitation(v *visit) error {
	err := s.revoke(v.r.Context(), v.r.PathValue("id"))
	if _, ended := errors.AsType[*invitationEnded](err); ended || errors.Is(err, errNoInvitation) {
		return v.done("/invitations", "invite-over")
	}
	if err != nil {
		return err
	}
	v.Log.Info("invitation revoked", zap.String("invitation", v.r.PathValue("id")), zap.String("user", v.user.Name))
	return v.done("/invitations", "invite-revoked")
}

// openLink takes the token out of the address. It uses nothing up: scanners of
// mail and previews open links as well, and more than once.
func (s *signIns) openLink(v *visit) error {
	token := secret.String(v.r.PathValue("token"))
	if err := s.heldOff(v); err != nil {
		return err
	}
	if _, err := s.open(v.r.Context(), token); err != nil {
		return s.noInvitation(v, err)
	}
	v.setLax(invitationCookie, token, invitationCookieLife)
	return v.redirect("/invitation")
}

// heldOff turns away whoever brings one wrong link after the other.
func (s *signIns) heldOff(v *visit) error {
	wait := s.strangers.wait(v.Access().from(v.r), "", s.now())
	if wait == 0 {
		return nil
	}
	v.w.Header().Set("Retry-After", retryAfter(wait))
	return v.refuse(http.StatusTooManyRequests, "signin.toomany", "span", v.Span(wait))
}

// noInvitation says why a link leads nowhere.
func (s *signIns) noInvitation(v *visit, err error) error {
	if ended, ok := errors.AsType[*invitationEnded](err); ok {
		return v.refuse(http.StatusGone, "invite.ended."+string(ended.state))
	}
	if !errors.Is(err, errNoInvitation) {
		return err
	}
	s.strangers.failed(v.Access().from(v.r), "", s.now())
	return v.refuse(http.StatusNotFound, "invite.unknown")
}

// held is the invitation that the browser has a cookie of.
func (s *signIns) held(v *visit) (*Invitation, *oauth.Provider, error) {
	token := v.lax(invitationCookie)
	if token.Empty() {
		return nil, nil, v.refuse(http.StatusNotFound, "invite.nocookie")
	}
	if err := s.heldOff(v); err != nil {
		return nil, nil, err
	}
	i, err := s.open(v.r.Context(), token)
	if err != nil {
		return nil, nil, s.noInvitation(v, err)
	}
	p := s.chosen(i.Provider)
	if p == nil {
		return nil, nil, v.refuse(http.StatusServiceUnavailable, "invite.noprovider", "provider", i.Provider)
	}
	if !p.Flow.NeedsPerson() {
		// Since the invitation was made, its provider has come to open mailboxes
		// to authferry alone: whoever holds the link would prove nothing.
		v.Log.Error("an invitation could not begin", zap.String("invitation", i.ID), zap.String("provider", p.Name), zap.Error(errNoProof))
		return nil, nil, v.refuse(http.StatusServiceUnavailable, "invite.nobegin", "provider", p.Brand())
	}
	return i, p, nil
}

// invitationPage tells the owner who invites, and what will happen.
func (s *signIns) invitationPage(v *visit) error {
	i, p, err := s.held(v)
	if err != nil {
		return err
	}
	_, paste := redirectTo(v.Access(), p, byPage)
	return v.show("invitation", struct {
		*Invitation
		Brand string
		Codes bool
		Paste bool // the only way there is but codes
	}{i, p.Brand(), p.DeviceURL != "", paste})
}

// accept begins the errand of an invitation, which stays good until the mailbox
// is connected.
func (s *signIns) accept(v *visit) error {
	i, p, err := s.held(v)
	if err != nil {
		return err
	}
	e := &errand{Mailbox: i.Mailbox, SignIn: i.SignIn, Provider: p, Invitation: i}
	switch err := s.begin(v, e, way(v.r.PostFormValue("way"))); {
	case errors.Is(err, errTooMany):
		return v.refuse(http.StatusTooManyRequests, "connect.busy")
	case err != nil:
		// An owner can do nothing about it; the log is for those who can.
		v.Log.Error("an invitation could not begin", zap.String("invitation", i.ID), zap.String("provider", p.Name), zap.Error(err))
		return v.refuse(http.StatusServiceUnavailable, "invite.nobegin", "provider", p.Brand())
	}
	return nil
}
