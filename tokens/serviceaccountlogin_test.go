package tokens

import (
	"testing"
	"time"

	"authferry/tokens/oauth"
	"authferry/tokens/oauth/oauthtest"
	"authferry/tokens/store"
)

// TestServiceAccountLogin: an enrolled mailbox has no grant and serves logins.
func TestServiceAccountLogin(t *testing.T) {
	r, j := newRig(t), oauthtest.NewAppEndpoint(t)
	p := googleApp(j)
	r.Configure(Settings{Providers: map[string]*oauth.Provider{"workspace": p}})
	err := r.files.Update(t.Context(), me, func(a *store.Account) error {
		a.Provider, a.Token = "workspace", oauth.Token{}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	first := r.mustAuthorize()
	if again := r.mustAuthorize(); !first.Minted || again.Minted || again.AccessToken != first.AccessToken {
		t.Errorf("%+v, then %+v", first, again)
	}
	if renewed, err := r.Renew(t.Context(), first); err != nil || renewed.AccessToken == first.AccessToken {
		t.Errorf("Renew: %v", err)
	}
	// A refusal ends no grant: there is no consent that a person could repeat.
	j.Mailboxes = nil
	r.clock.Advance(50 * time.Minute)
	j.Ahead = 50 * time.Minute
	if g, err := r.authorize(); err != nil || g.Minted {
		t.Errorf("while the old token lives: %v", err)
	}
	r.clock.Advance(time.Hour)
	j.Ahead += time.Hour
	r.want(oauth.ErrRefused, "is a mailbox of the domain")
	if a := r.account(); a.Dead != nil || a.Trouble == nil {
		t.Errorf("dead %+v, trouble %+v", a.Dead, a.Trouble)
	}
	j.Mailboxes = map[string]bool{me: true}
	r.clock.Advance(time.Hour)
	j.Ahead += time.Hour
	r.mustAuthorize()
}
