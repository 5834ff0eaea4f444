package tokens

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"authferry/internal/printable"
	"authferry/internal/secret"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// Removal says what [Vault.Remove] keeps.
type Removal struct {
	KeepGrant     bool // do not revoke the grant at the provider
	KeepPasswords bool // for when the mailbox is connected again
}

// Removed is the result of [Vault.Remove].
type Removed struct {
	Mailbox   string
	Passwords int  // how many are kept
	Revoked   bool // the provider revoked the grant
	// Left is why the provider may still list the grant; nil if it does not, or
	// was not to be asked. On Page its owner can revoke it by hand.
	Left error
	Page string
}

// revoke revokes the grant of an account at its provider, and notes the result.
func (out *Removed) revoke(ctx context.Context, s store.Store, settings *Settings, a *store.Account) {
	p := settings.Providers[a.Provider]
	switch {
	case a.Token.Refresh.Empty():
		return // an access token ends by itself within the hour
	case p == nil:
		out.Left = fmt.Errorf("its provider %s is no longer configured", printable.Quote(a.Provider))
		return
	}
	out.Page = p.ConnectionsPage()
	other, err := sharer(ctx, s, settings, a, p)
	switch {
	case err != nil:
		out.Left = fmt.Errorf("another mailbox may use it: %w", err)
	case other != "":
		out.Left = fmt.Errorf("%s uses it too, or a grant that the provider would revoke with it", other)
	default:
		out.Left = p.Revoke(ctx, a.Token)
		out.Revoked = out.Left == nil
	}
}

// sharer returns another mailbox that would lose its grant with that of a: it has
// the same grant, or one of the same person for the same client. Google revokes
// everything that a person granted to a project at once:
// https://developers.google.com/identity/protocols/oauth2/native-app#tokenrevoke
func sharer(ctx context.Context, s store.Store, settings *Settings, a *store.Account, p *oauth.Provider) (string, error) {
	mailboxes, err := s.Mailboxes(ctx)
	if err != nil {
		return "", err
	}
	for _, mailbox := range mailboxes {
		if mailbox == a.Mailbox {
			continue
		}
		b, err := s.Get(ctx, mailbox)
		if errors.Is(err, store.ErrNoMailbox) {
			continue
		}
		if err != nil {
			return "", err
		}
		q := settings.Providers[b.Provider]
		sameProject := b.Provider == a.Provider || q != nil && q.RevokeURL == p.RevokeURL && project(q.ClientID) == project(p.ClientID)
		if !b.Token.Refresh.Empty() && (secret.Equal(b.Token.Refresh, a.Token.Refresh) || grantOwner(b) == grantOwner(a) && sameProject) {
			return b.Mailbox, nil
		}
	}
	return "", nil
}

// grantOwner returns who signed in for a mailbox.
func grantOwner(a *store.Account) string {
	if a.SignIn != "" {
		return strings.ToLower(a.SignIn)
	}
	return a.Mailbox
}

// project returns the part of a Google client id that names its project; for other
// providers, the whole id.
func project(clientID string) string {
	number, rest, ok := strings.Cut(clientID, "-")
	if ok && strings.HasSuffix(rest, ".apps.googleusercontent.com") {
		return number
	}
	return clientID
}
