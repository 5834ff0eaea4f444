package oauth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// ErrNoRevocation is a provider with no place to give a grant back: its owner
// can only take it away on a page of the provider's.
var ErrNoRevocation = errors.New("the provider has no place to give a grant back")

// Revoke gives a grant back (RFC 7009), nil if it is gone already. At Google all
// go that the owner gave to clients of the same project. Where nobody gave a
// grant, as in flows without a person, there is nothing to do.
func (p *Provider) Revoke(ctx context.Context, t Token) error {
	// The refresh token stands for the grant; an access token does at Google.
	token := cmp.Or(t.Refresh, t.Access)
	switch {
	case !p.Flow.NeedsPerson() || token.Empty():
		return nil
	case p.RevokeURL == "":
		return fmt.Errorf("giving the grant back: %w: its owner can remove it on the account's page there", ErrNoRevocation)
	}
	form, now := url.Values{"token": {token.Reveal()}}, time.Now()
	if !t.Refresh.Empty() {
		form.Set("token_type_hint", "refresh_token")
	}
	if err := p.authenticate(form, now); err != nil {
		return fmt.Errorf("giving the grant back: %w", err)
	}
	c := call{what: "the revocation endpoint", key: "revoke_url", address: p.RevokeURL, form: form}
	r, err := p.send(ctx, c)
	if err != nil {
		return fmt.Errorf("giving the grant back: %w", err)
	}
	if r.status >= 200 && r.status <= 299 {
		return nil
	}
	e := &EndpointError{Kind: ErrUnavailable, reason: "answered " + statusText(r.status)}
	var a answer
	if json.Unmarshal(r.body, &a) == nil && a.text("error") != "" {
		e = refusedAnswer(r.status, a, a.text("error"), p.told(c))
	}
	// RFC 7009 has 200 for a token that is none; Google has this.
	if r.status < 500 && (e.code == "invalid_token" || e.code == "invalid_grant") {
		return nil
	}
	return fmt.Errorf("giving the grant back: %w", e.at(c, r))
}
