package connect

import (
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"

	"authferry/internal/console/form"
	"authferry/internal/console/frame"
	"authferry/internal/console/people"
	"authferry/internal/protocol"
	"authferry/internal/secret"
	"authferry/tokens/oauth"
)

// invitationCookie holds the token of a link, so that the address of the page that
// follows is not a secret. It is Lax: people open the link from a mail, and
// browsers would not send a Strict cookie then.
const (
	invitationCookie     = "authferry-invitation"
	invitationCookieLife = 2 * time.Hour
)

// lives are the choices of how long a link is valid, in hours.
var lives = []int{24, 72, 7 * 24, 30 * 24}

// purposes are suggestions for the name of a password.
var purposes = []string{"Livespace CRM", "Firmao CRM", "CM.com Customer Contact", "Dynamics 365", "Outlook", "Printer"}

type invitationsView struct {
	Form      invitationForm
	Providers []*oauth.Provider
	Lives     []int
	Purposes  []string
	List      []invitationRow
}

type invitationRow struct {
	people.Invitation
	State people.InvitationState
	Open  bool
}

func invitationsPage(c *Connector, r *frame.Request) error {
	return showInvitations(c, r, http.StatusOK, invitationForm{
		For: r.HTTP.URL.Query().Get("mailbox"), Hours: int(people.InvitationLife.Hours()), Password: true,
		Protocols: protocol.All[:],
	})
}

func showInvitations(c *Connector, r *frame.Request, status int, f invitationForm) error {
	list, err := c.invitations.All(r.Context())
	if err != nil {
		return err
	}
	view := invitationsView{Form: f, Lives: lives, Purposes: purposes}
	for _, p := range c.Providers() {
		if p.Flow.NeedsPerson() { // with the others there is no one to invite
			view.Providers = append(view.Providers, p)
		}
	}
	if view.Form.Provider == "" {
		view.Form.Provider = likely(f.For, view.Providers)
	}
	for _, i := range list {
		state := i.State(c.Now())
		view.List = append(view.List, invitationRow{i, state, state == people.InvitationOpen})
	}
	return r.ShowAs(status, "invitations", view)
}

// makeInvitation makes an invitation and shows its link, which cannot be shown
// again.
func makeInvitation(c *Connector, r *frame.Request) error {
	f := readInvitationForm(r.HTTP)
	i, err := readInvitation(c, f)
	if wrong, ok := errors.AsType[form.Complaints](err); ok {
		f.Trouble = wrong.Text(r.Printer)
		return showInvitations(c, r, http.StatusUnprocessableEntity, f)
	}
	i.By = r.User.Name
	i, token, err := c.invitations.Add(r.Context(), i, time.Duration(f.Hours)*time.Hour)
	if err != nil {
		return err
	}
	c.Log.Info("invitation made", zap.String("invitation", i.ID), zap.String("for", invited(i)), zap.String("user", r.User.Name))
	return r.Show("invited", struct {
		people.Invitation
		Link string
	}{i, r.Access.URL + "/invitation/" + token.Reveal()})
}

// invited returns the mailbox or the domain of an invitation, for logs.
func invited(i people.Invitation) string {
	if i.Mailbox != "" {
		return i.Mailbox
	}
	return "@" + i.Domain
}

func revokeInvitation(c *Connector, r *frame.Request) error {
	id := r.HTTP.PathValue("id")
	err := c.invitations.Revoke(r.Context(), id)
	if _, ended := errors.AsType[*people.InvitationEnded](err); ended || errors.Is(err, people.ErrNoInvitation) {
		return r.Done("/invitations", "invite-over")
	}
	if err != nil {
		return err
	}
	c.Log.Info("invitation revoked", zap.String("invitation", id), zap.String("user", r.User.Name))
	return r.Done("/invitations", "invite-revoked")
}

// openLink moves the token from the address to a cookie. It uses nothing up:
// scanners of mail and previews open links as well, and more than once.
func openLink(c *Connector, r *frame.Request) error {
	token := secret.String(r.HTTP.PathValue("token"))
	if err := frame.CheckLinkLimit(r); err != nil {
		return err
	}
	if _, err := c.invitations.Find(r.Context(), token); err != nil {
		return noInvitation(r, err)
	}
	frame.SetLaxCookie(r, invitationCookie, token, invitationCookieLife)
	return r.Redirect("/invitation")
}

// noInvitation says why a link cannot be used.
func noInvitation(r *frame.Request, err error) error {
	if ended, ok := errors.AsType[*people.InvitationEnded](err); ok {
		return r.Refuse(http.StatusGone, "invite.ended."+string(ended.State))
	}
	if !errors.Is(err, people.ErrNoInvitation) {
		return err
	}
	frame.CountWrongLink(r)
	return r.Refuse(http.StatusNotFound, "invite.unknown")
}

// ownInvitation returns the invitation that the browser has a cookie of.
func ownInvitation(c *Connector, r *frame.Request) (*people.Invitation, *oauth.Provider, error) {
	token := frame.LaxCookie(r, invitationCookie)
	if token.Empty() {
		return nil, nil, r.Refuse(http.StatusNotFound, "invite.nocookie")
	}
	if err := frame.CheckLinkLimit(r); err != nil {
		return nil, nil, err
	}
	i, err := c.invitations.Find(r.Context(), token)
	if err != nil {
		return nil, nil, noInvitation(r, err)
	}
	p := c.provider(i.Provider)
	if p == nil {
		return nil, nil, r.Refuse(http.StatusServiceUnavailable, "invite.noprovider", "provider", i.Provider)
	}
	if !p.Flow.NeedsPerson() {
		// The provider's configuration has changed since: it opens mailboxes to
		// authferry without a person, so that the bearer would prove nothing.
		c.Log.Error("an invitation could not begin", zap.String("invitation", i.ID), zap.String("provider", p.Name), zap.Error(errNoProof))
		return nil, nil, r.Refuse(http.StatusServiceUnavailable, "invite.nobegin", "provider", p.Brand())
	}
	return i, p, nil
}

// invitationPage says who invites, and what will happen.
func invitationPage(c *Connector, r *frame.Request) error {
	i, p, err := ownInvitation(c, r)
	if err != nil {
		return err
	}
	_, paste := redirectTo(r.Access.URL, p, byPage)
	return r.Show("invitation", struct {
		*people.Invitation
		Brand string
		Codes bool
		Paste bool // the only way except codes
	}{i, p.Brand(), p.DeviceURL != "", paste})
}

// acceptInvitation begins the sign-in of an invitation, which stays open until the
// mailbox is connected.
func acceptInvitation(c *Connector, r *frame.Request) error {
	i, p, err := ownInvitation(c, r)
	if err != nil {
		return err
	}
	s := &signIn{Mailbox: i.Mailbox, SignIn: i.SignIn, Provider: p, Invitation: i}
	switch err := begin(c, r, s, way(r.Form("way"))); {
	case errors.Is(err, errTooMany):
		return r.Refuse(http.StatusTooManyRequests, "connect.busy")
	case err != nil:
		// The owner can do nothing about it; the administrator reads the log.
		c.Log.Error("an invitation could not begin", zap.String("invitation", i.ID), zap.String("provider", p.Name), zap.Error(err))
		return r.Refuse(http.StatusServiceUnavailable, "invite.nobegin", "provider", p.Brand())
	}
	return nil
}
