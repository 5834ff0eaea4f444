package tokens

import (
	"context"
	"net/url"
	"time"
)

// mint gets a new access token for an account. It is the one place that knows
// how a provider gives them.
func (p *Provider) mint(ctx context.Context, a *Account, now time.Time) (Token, error) {
	t := a.Token
	if t.Refresh.Empty() {
		return Token{}, &endpointError{kind: ErrNeedsConsent, reason: "there is no refresh token"}
	}
	next, err := p.ask(ctx, url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {t.Refresh.Reveal()},
	}, now)
	if err != nil {
		return Token{}, err
	}
	// What an answer leaves out stays as it was: RFC 6749 §6.
	if next.Refresh.Empty() {
		next.Refresh = t.Refresh
	}
	if next.RefreshExpiry.IsZero() {
		next.RefreshExpiry = t.RefreshExpiry
	}
	if next.Scopes == nil {
		next.Scopes = t.Scopes
	}
	return *next, nil
}
