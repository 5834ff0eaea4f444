package tokens

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"

	"authferry/internal/printable"
	"authferry/internal/secret"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// Removal says what becomes of what a mailbox had.
type Removal struct {
	KeepGrant     bool // do not give the grant back to the provider
	KeepPasswords bool // for when the mailbox is connected again
}

// Removed is what a removal came to.
type Removed struct {
	Mailbox   string
	Passwords int  // how many are kept
	Revoked   bool // the provider took the grant back
	// Left is why the provider may still list the grant; nil where it does not,
	// or was not to be told. Page is where its owner takes it back by hand.
	Left error
	Page string
}

// Remove forgets a mailbox with its grant and passwords, and gives the grant
// back to the provider, unless another mailbox lives by it. The mailbox goes
// even if the provider cannot be told; [Removed.Left] says so then.
//
// The provider is told first, inside the store's lock: nobody refreshes the
// grant meanwhile, and a crash in between leaves a mailbox that is listed as it
// was and can be removed once more. The other way round it would leave a grant
// that nobody knows of.
func (v *Vault) Remove(ctx context.Context, mailbox string, r Removal) (*Removed, error) {
	mailbox, _ = v.Canonical(mailbox)
	out, read := &Removed{Mailbox: mailbox}, false
	err := v.store.Update(ctx, mailbox, func(a *store.Account) error {
		if !a.Held() {
			return fmt.Errorf("%w: %s", store.ErrNoMailbox, printable.Quote(mailbox))
		}
		read = true
		if !r.KeepGrant {
			v.takeUnwritten(a)
			v.giveBack(ctx, a, out)
		}
		if !r.KeepPasswords || len(a.Passwords) == 0 {
			return store.ErrDelete // here and now: who waits for the lock may be about to connect it again
		}
		*a = store.Account{Mailbox: mailbox, Passwords: a.Passwords, Created: a.Created}
		out.Passwords = len(a.Passwords)
		return nil
	})
	// A file that cannot be read is what one may want to be rid of.
	damaged := err != nil && !read && !errors.Is(err, store.ErrNoMailbox) && ctx.Err() == nil
	if damaged && !r.KeepGrant && !r.KeepPasswords {
		out.Left = fmt.Errorf("it could not be read here: %w", err)
	}
	if damaged && !r.KeepPasswords {
		err = v.store.Delete(ctx, mailbox)
	}
	if err != nil && out.Revoked {
		err = fmt.Errorf("the provider took the grant of %s back, but it could not be removed here: %w; remove it once more", mailbox, err)
	}
	if err != nil {
		return nil, withFix(err, mailbox)
	}
	v.forget(mailbox)
	v.log.Info("mailbox removed", zap.String("mailbox", mailbox), zap.Bool("revoked", out.Revoked), zap.NamedError("left", out.Left))
	return out, nil
}

// giveBack gives the grant of an account back to its provider, and notes what
// came of it.
func (v *Vault) giveBack(ctx context.Context, a *store.Account, out *Removed) {
	p := v.settings.Load().Providers[a.Provider]
	switch {
	case a.Token.Refresh.Empty():
		return // nothing that outlives the hour
	case p == nil:
		out.Left = fmt.Errorf("its provider %s is not configured any more", printable.Quote(a.Provider))
		return
	}
	out.Page = p.ConnectionsPage()
	other, err := v.sharer(ctx, a, p)
	switch {
	case err != nil:
		out.Left = fmt.Errorf("another mailbox may live by it: %w", err)
	case other != "":
		out.Left = fmt.Errorf("%s lives by it too, or by one that the provider would take back with it", other)
	default:
		if err := p.Revoke(ctx, a.Token); err != nil {
			out.Left = err
			return
		}
		out.Revoked = true
	}
}

// sharer finds another mailbox that would lose its grant with that of a: the
// same grant, or one of the same person for the same client. Google takes back
// all that a person granted to a project at once:
// https://developers.google.com/identity/protocols/oauth2/native-app#tokenrevoke
func (v *Vault) sharer(ctx context.Context, a *store.Account, p *oauth.Provider) (string, error) {
	mailboxes, err := v.store.Mailboxes(ctx)
	if err != nil {
		return "", err
	}
	for _, mailbox := range mailboxes {
		if mailbox == a.Mailbox {
			continue
		}
		b, err := v.store.Get(ctx, mailbox)
		if errors.Is(err, store.ErrNoMailbox) {
			continue
		}
		if err != nil {
			return "", err
		}
		q := v.settings.Load().Providers[b.Provider]
		sameProject := b.Provider == a.Provider || q != nil && q.RevokeURL == p.RevokeURL && project(q.ClientID) == project(p.ClientID)
		if !b.Token.Refresh.Empty() && (secret.Equal(b.Token.Refresh, a.Token.Refresh) || grantOwner(b) == grantOwner(a) && sameProject) {
			return b.Mailbox, nil
		}
	}
	return "", nil
}

// grantOwner is who signed in for a mailbox.
func grantOwner(a *store.Account) string {
	if a.SignIn != "" {
		return strings.ToLower(a.SignIn)
	}
	return a.Mailbox
}

// project is the part of a Google client id that names its project; of others,
// the whole id.
func project(clientID string) string {
	number, rest, ok := strings.Cut(clientID, "-")
	if ok && strings.HasSuffix(rest, ".apps.googleusercontent.com") {
		return number
	}
	return clientID
}
