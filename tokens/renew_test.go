package tokens

import (
	"context"
	"errors"
	"testing"
	"time"

	"authferry/tokens/oauth"
)

// TestRenew: a cached token that the provider rejects is replaced, and not used
// again although it has life left.
func TestRenew(t *testing.T) {
	r := newRig(t)
	r.mustAuthorize()
	cached := r.mustAuthorize()
	if cached.Minted {
		t.Fatal("not cached")
	}
	r.endpoint.Answers(503, "")
	if _, err := r.Renew(context.Background(), cached); !errors.Is(err, oauth.ErrUnavailable) {
		t.Fatal(err)
	}
	r.want(oauth.ErrUnavailable, "503")
	r.wantCalls(2)
	r.endpoint.Does(nil)
	r.clock.Advance(maxBackoff)
	g := r.mustAuthorize()
	if g.AccessToken == cached.AccessToken || !g.Minted {
		t.Error("a token that the provider refused is handed out again")
	}
	again, err := r.Renew(context.Background(), cached)
	if err != nil || again.AccessToken != g.AccessToken || !again.Minted {
		t.Errorf("%+v, %v", again, err)
	}
	r.wantCalls(3)
	r.endpoint.Answers(400, `{"error":"invalid_grant"}`)
	if _, err := r.Renew(context.Background(), g); !errors.Is(err, oauth.ErrNeedsConsent) {
		t.Errorf("Renew of a dead grant: %v", err)
	}
	r.want(oauth.ErrNeedsConsent, "")
}

// TestRefused: while a provider rejects new tokens too, logins do not refresh; the
// time doubles, and a new token is tried at once.
func TestRefused(t *testing.T) {
	r := newRig(t)
	g := r.mustAuthorize()
	for _, delay := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 10 * time.Minute, 10 * time.Minute} {
		r.Refused(g)
		r.Refused(g) // by another session
		calls := r.endpoint.Asked()
		for _, d := range []time.Duration{0, delay - time.Second} {
			r.clock.Advance(d)
			got := r.mustAuthorize()
			if !got.Minted || got.AccessToken != g.AccessToken || r.endpoint.Asked() != calls {
				t.Fatalf("%s into %s: minted %v, %d calls", d, delay, got.Minted, r.endpoint.Asked()-calls)
			}
			r.Refused(got)
		}
		r.clock.Advance(time.Second)
		got := r.mustAuthorize()
		if got.Minted {
			t.Fatalf("after %s the token passes for a new one still", delay)
		}
		var err error
		if g, err = r.Renew(context.Background(), got); err != nil || !g.Minted || r.endpoint.Asked() != calls+1 {
			t.Fatal(err)
		}
	}
	if got := r.mustAuthorize(); got.Minted {
		t.Error("a new token is held to the old one's refusal")
	}
	r.clock.Advance(time.Hour)
	r.age(time.Hour)
	r.Refused(r.mustAuthorize())
	r.clock.Advance(31 * time.Second)
	if r.mustAuthorize().Minted {
		t.Error("a refusal after an hour of peace is not the first one")
	}
}
