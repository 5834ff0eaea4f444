package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"authferry/internal/printable"
)

// Refresh gets a new access token in place of t, for the one who signs in. It is the
// one place that knows how a provider gives them.
func (p *Provider) Refresh(ctx context.Context, t Token, signIn string, now time.Time) (Token, error) {
	if p.Flow.NeedsPerson() {
		return p.useGrant(ctx, t, now)
	}
	minted, err := p.mintAlone(ctx, signIn, now)
	if err != nil {
		return Token{}, err
	}
	return *minted, nil
}

// Mint gets an access token for a mailbox by a flow without a person, for those
// who try one out before a mailbox is connected. Its errors match those of
// [Vault].
func (p *Provider) Mint(ctx context.Context, mailbox string) (*Token, error) {
	if p.Flow.NeedsPerson() {
		return nil, &EndpointError{Kind: ErrNeedsConsent, reason: fmt.Sprintf("the provider %s gives tokens to those who sign in: authferry connect %s", p.Name, mailbox)}
	}
	t, err := p.mintAlone(ctx, mailbox, time.Now())
	if err != nil {
		return nil, p.explain(mailbox, err)
	}
	return t, nil
}

// useGrant trades the refresh token: RFC 6749 §6.
func (p *Provider) useGrant(ctx context.Context, t Token, now time.Time) (Token, error) {
	if t.Refresh.Empty() {
		return Token{}, &EndpointError{Kind: ErrNeedsConsent, reason: "there is no refresh token"}
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
	next.Owner = "" // only those who connect a mailbox ask
	return *next, nil
}

// mintAlone is mint where nobody signs in.
func (p *Provider) mintAlone(ctx context.Context, mailbox string, now time.Time) (t *Token, err error) {
	switch p.Flow {
	case FlowServiceAccount:
		t, err = p.assertMailbox(ctx, mailbox, now)
	case FlowClientCredentials:
		t, err = p.useClient(ctx, now)
	case FlowTokenCommand:
		t, err = p.runCommand(ctx, mailbox, now)
	default:
		err = &EndpointError{Kind: ErrRefused, reason: fmt.Sprintf("the provider %s has the unknown flow %s; set flow in [provider.%s]", p.Name, printable.Quote(string(p.Flow)), p.Name)}
	}
	// There is no consent to give again: what the provider calls a bad grant is
	// a key, a right or a clock to be mended.
	if e := (*EndpointError)(nil); errors.As(err, &e) && e.Kind == ErrNeedsConsent {
		e.Kind = ErrRefused
	}
	if err != nil {
		return nil, err
	}
	// A refresh token would be of no use, and one more thing to lose.
	t.Refresh, t.RefreshExpiry, t.Owner = "", time.Time{}, ""
	return t, nil
}

// useClient is [FlowClientCredentials]: the token is the same for all mailboxes
// that the client may open.
func (p *Provider) useClient(ctx context.Context, now time.Time) (*Token, error) {
	switch {
	case p.ClientID == "":
		return nil, p.lacks("OAuth client", "client_id")
	case p.Certificate == nil && p.ClientSecret.Empty():
		return nil, p.lacks("proof of its client", "client_secret_file or certificate_file")
	}
	return p.ask(ctx, url.Values{
		"grant_type": {"client_credentials"},
		"scope":      {strings.Join(p.Scopes, " ")},
	}, now)
}
