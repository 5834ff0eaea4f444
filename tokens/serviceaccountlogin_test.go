package tokens

import (
	"testing"
	"time"
)

// TestServiceAccountLogin: a mailbox that an administrator enrolled has no grant
// and serves logins.
func TestServiceAccountLogin(t *testing.T) {
	r, j := newRig(t), newAppEndpoint(t)
	p := googleApp(j)
	r.Configure(Settings{Providers: map[string]*Provider{"workspace": p}})
	err := r.files.Update(t.Context(), me, func(a *Account) error {
		a.Provider, a.Token = "workspace", Token{}
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
	// A refusal ends nothing: there is no consent that a person could give again.
	j.mailboxes = nil
	r.clock.advance(50 * time.Minute)
	j.ahead = 50 * time.Minute
	if g, err := r.authorize(); err != nil || g.Minted {
		t.Errorf("while the old token lives: %v", err)
	}
	r.clock.advance(time.Hour)
	j.ahead += time.Hour
	r.want(ErrRefused, "is a mailbox of the domain")
	if a := r.account(); a.Dead != nil || a.Trouble == nil {
		t.Errorf("dead %+v, trouble %+v", a.Dead, a.Trouble)
	}
	j.mailboxes = map[string]bool{me: true}
	r.clock.advance(time.Hour)
	j.ahead += time.Hour
	r.mustAuthorize()
}
