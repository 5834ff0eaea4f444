package oauth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"authferry/internal/printable"
	"authferry/tokens/oauth/tokencommand"
)

// refreshGrant exchanges the refresh token: RFC 6749 §6.
func refreshGrant(ctx context.Context, p *Provider, t Token, now time.Time) (Token, error) {
	if t.Refresh.Empty() {
		return Token{}, &EndpointError{Kind: ErrNeedsConsent, reason: "there is no refresh token"}
	}
	next, err := requestToken(ctx, p, url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {t.Refresh.Reveal()},
	}, now)
	if err != nil {
		return Token{}, err
	}
	// A field that the response omits stays as it was: RFC 6749 §6.
	if next.Refresh.Empty() {
		next.Refresh = t.Refresh
	}
	if next.RefreshExpiry.IsZero() {
		next.RefreshExpiry = t.RefreshExpiry
	}
	if next.Scopes == nil {
		next.Scopes = t.Scopes
	}
	next.Owner = "" // used only when a mailbox is connected
	return *next, nil
}

// mintUnattended gets an access token by a flow in which no person signs in.
func mintUnattended(ctx context.Context, p *Provider, mailbox string, now time.Time) (t *Token, err error) {
	switch p.Flow {
	case FlowServiceAccount:
		t, err = assertMailbox(ctx, p, mailbox, now)
	case FlowClientCredentials:
		t, err = requestByClient(ctx, p, now)
	case FlowTokenCommand:
		t, err = runTokenCommand(ctx, p, mailbox, now)
	default:
		err = &EndpointError{Kind: ErrRefused, reason: fmt.Sprintf("the provider %s has the unknown flow %s; set flow in [provider.%s]", p.Name, printable.Quote(string(p.Flow)), p.Name)}
	}
	// No consent can be repeated: a grant that the provider calls invalid is a wrong
	// key, a missing right or a wrong clock.
	if e := (*EndpointError)(nil); errors.As(err, &e) && e.Kind == ErrNeedsConsent {
		e.Kind = ErrRefused
	}
	if err != nil {
		return nil, err
	}
	// A refresh token would not be used, and is one more secret to lose.
	t.Refresh, t.RefreshExpiry, t.Owner = "", time.Time{}, ""
	return t, nil
}

// requestByClient is [FlowClientCredentials]: the same token opens all mailboxes that
// the client may use.
func requestByClient(ctx context.Context, p *Provider, now time.Time) (*Token, error) {
	switch {
	case p.ClientID == "":
		return nil, missingSetting(p, "OAuth client", "client_id")
	case p.Certificate == nil && p.ClientSecret.Empty():
		return nil, missingSetting(p, "client secret or certificate", "client_secret_file or certificate_file")
	}
	return requestToken(ctx, p, url.Values{
		"grant_type": {"client_credentials"},
		"scope":      {strings.Join(p.Scopes, " ")},
	}, now)
}

// runTokenCommand is [FlowTokenCommand]. Its errors name the program alone: the
// arguments may be secrets.
func runTokenCommand(ctx context.Context, p *Provider, mailbox string, now time.Time) (*Token, error) {
	if len(p.TokenCommand) == 0 || p.TokenCommand[0] == "" {
		return nil, missingSetting(p, "token command", "token_command")
	}
	output, err := tokencommand.Run(ctx, tokencommand.Command{
		Args: p.TokenCommand, Mailbox: mailbox, Provider: p.Name, Timeout: p.CallTimeout(),
	})
	if err == nil {
		var t *Token
		if t, err = readCommandOutput([]byte(output.Stdout.Reveal()), now.UTC().Round(0)); err == nil {
			return t, nil
		}
		err = errors.New(err.Error() + output.Complaint)
	}
	failed := &EndpointError{
		Kind: ErrUnavailable, err: errors.Unwrap(err),
		reason: fmt.Sprintf("the token_command %s of [provider.%s] %s", printable.Quote(p.TokenCommand[0]), p.Name, err),
	}
	if e := (*tokencommand.Error)(nil); errors.As(err, &e) && e.NotStarted {
		failed.Kind = ErrRefused
	}
	return nil, failed
}

// missingSetting is the error of a provider without a setting that its flow needs.
func missingSetting(p *Provider, what, key string) error {
	return &EndpointError{Kind: ErrRefused, reason: fmt.Sprintf("the provider %s has no %s; set %s in [provider.%s]", p.Name, what, key, p.Name)}
}

// errNoRevocation is a provider without a revocation endpoint: the owner can revoke
// the grant on a page of the provider's alone.
var errNoRevocation = errors.New("the provider has no revocation endpoint")

// revoke is [Provider.Revoke].
func revoke(ctx context.Context, p *Provider, t Token) error {
	// The refresh token identifies the grant; at Google an access token does too.
	token := cmp.Or(t.Refresh, t.Access)
	switch {
	case !p.Flow.NeedsPerson() || token.Empty():
		return nil
	case p.RevokeURL == "":
		return fmt.Errorf("%w: the owner can remove the grant on the account's page there", errNoRevocation)
	}
	form, now := url.Values{"token": {token.Reveal()}}, time.Now()
	if !t.Refresh.Empty() {
		form.Set("token_type_hint", "refresh_token")
	}
	if err := authenticateClient(form, p, now); err != nil {
		return err
	}
	c := call{provider: p, endpoint: "the revocation endpoint", key: "revoke_url", url: p.RevokeURL, form: form}
	r, err := c.send(ctx)
	if err != nil {
		return err
	}
	if r.Status >= 200 && r.Status <= 299 {
		return nil
	}
	e := &EndpointError{Kind: ErrUnavailable, reason: "answered " + statusText(r.Status)}
	var f fields
	if json.Unmarshal(r.Body, &f) == nil && f.text("error") != "" {
		e = errorResponse(r.Status, f, f.text("error"), c.told())
	}
	// RFC 7009 §2.2 answers 200 for a token that is invalid already; Google does not.
	if r.Status < 500 && (e.code == "invalid_token" || e.code == "invalid_grant") {
		return nil
	}
	return e.at(c, r)
}

// missingScopes returns the requested scopes that are not among the granted ones,
// without those that only concern the sign-in.
func missingScopes(requested, granted []string) (missing []string) {
	for _, scope := range requested {
		if isSignInScope(scope) {
			continue
		}
		if !slices.ContainsFunc(granted, func(got string) bool { return scopeName(got) == scopeName(scope) }) {
			missing = append(missing, scope)
		}
	}
	return missing
}

// scopeName returns the part of a scope that identifies it: Microsoft's response has
// other hosts and capitals than the request.
func scopeName(scope string) string {
	scope = strings.TrimRight(strings.ToLower(scope), "/")
	return scope[strings.LastIndex(scope, "/")+1:]
}

// isSignInScope reports whether a scope only concerns the sign-in. Responses omit
// these.
func isSignInScope(scope string) bool {
	switch scopeName(scope) {
	case "offline_access", "openid", "email", "profile":
		return true
	}
	return false
}

// checkGrant is [Provider.CheckGrant].
func checkGrant(p *Provider, t *Token) error {
	person := p.Flow.NeedsPerson()
	if t == nil && !person {
		return nil
	}
	if t == nil || t.Access.Empty() {
		return errors.New("the provider issued no access token")
	}
	if t.Refresh.Empty() && person {
		return errors.New("the provider issued no refresh token, so the grant would end within the hour: " +
			"request one (auth_params access_type=offline and prompt=consent at Google, the scope offline_access elsewhere)")
	}
	if len(t.Scopes) == 0 || !person {
		return nil // as requested (RFC 6749 §5.1); an owner does not grant an application's scopes
	}
	if missing := missingScopes(p.Scopes, t.Scopes); len(missing) > 0 {
		return fmt.Errorf("the owner did not grant %s: open the consent page again and tick its box (at Google: \"Read, compose, send, and permanently delete all your email\")", missing[0])
	}
	return nil
}
