package oauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"golang.org/x/oauth2"

	"authferry/internal/printable"
	"authferry/internal/secret"
)

// Consent is one visit of a mailbox's owner to a provider's consent page:
// authorization code with PKCE (RFC 7636, S256) and a checked state.
type Consent struct {
	URL string // the page to open

	provider *Provider
	redirect string
	state    secret.String
	verifier secret.String
}

// NewConsent prepares a visit. redirect is where the provider sends the browser
// afterwards: a loopback address (RFC 8252 §7.3), which nobody need listen on
// if the owner pastes the address back.
func (p *Provider) NewConsent(redirect, mailbox string) (*Consent, error) {
	switch {
	case p.ClientID == "":
		return nil, fmt.Errorf("the provider %s has no OAuth client: make one in the provider's console and set client_id (or client_file) in [provider.%s]", p.Name, p.Name)
	case p.AuthURL == "" || p.TokenURL == "":
		return nil, fmt.Errorf("the provider %s has no consent page: set auth_url and token_url in [provider.%s]", p.Name, p.Name)
	}
	c := &Consent{
		provider: p, redirect: redirect,
		state: secret.String(secret.RandomHex(32)), verifier: secret.String(oauth2.GenerateVerifier()),
	}
	config := oauth2.Config{
		ClientID: p.ClientID, Endpoint: oauth2.Endpoint{AuthURL: p.AuthURL},
		RedirectURL: redirect, Scopes: p.Scopes,
	}
	options := []oauth2.AuthCodeOption{
		oauth2.S256ChallengeOption(c.verifier.Reveal()),
		oauth2.SetAuthURLParam("login_hint", mailbox),
	}
	for name, value := range p.AuthParams {
		options = append(options, oauth2.SetAuthURLParam(name, value))
	}
	c.URL = config.AuthCodeURL(c.state.Reveal(), options...)
	return c, nil
}

// Finish takes the address the browser was sent to, however it came back
// (loopback listener or paste), checks its state, and exchanges its code.
func (c *Consent) Finish(ctx context.Context, redirected string) (*Token, error) {
	answer, err := readRedirect(redirected)
	if err != nil {
		return nil, err
	}
	if err := c.check(answer); err != nil {
		return nil, err
	}
	t, err := c.provider.ask(ctx, url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {answer.Get("code")},
		"redirect_uri":  {c.redirect},
		"code_verifier": {c.verifier.Reveal()},
	}, time.Now())
	if e := (*EndpointError)(nil); errors.As(err, &e) && e.code == "invalid_grant" {
		return nil, fmt.Errorf("exchanging the code: %w; codes are good once and for minutes: open the consent page again", err)
	}
	if err != nil {
		return nil, fmt.Errorf("exchanging the code: %w", err)
	}
	return t, nil
}

// check tells whether an answer belongs to this visit and brings a code. The
// state comes first: until it is right nothing else in the address is believed.
func (c *Consent) check(answer url.Values) error {
	if !secret.Equal(secret.String(answer.Get("state")), c.state) {
		return errors.New("the address does not belong to this visit of the consent page (its state differs): open the address printed last and use what comes of it")
	}
	if iss := answer.Get("iss"); iss != "" && c.provider.Issuer != "" && iss != c.provider.Issuer {
		return fmt.Errorf("the answer comes from %s and not from %s (RFC 9207): somebody may be passing one provider's answer off as another's", printable.Quote(iss), c.provider.Issuer)
	}
	if code := answer.Get("error"); code != "" {
		return consentError(code, answer.Get("error_description"))
	}
	if answer.Get("code") == "" {
		return errors.New("the address has no code in it: paste the whole address that the browser was sent to, from http to the end")
	}
	return nil
}

// consentFixes are the errors of consent pages (RFC 6749 §4.1.2.1, and the
// words of Google and Microsoft) and what to do about them.
var consentFixes = map[string]string{
	"access_denied":             "the owner did not agree, or is not among the test users of a project in Testing: open the page again, or add the address under Audience, Test users in Google's console",
	"admin_policy_enforced":     refusedCodes["admin_policy_enforced"],
	"org_internal":              refusedCodes["org_internal"],
	"redirect_uri_mismatch":     refusedCodes["redirect_uri_mismatch"],
	"invalid_scope":             refusedCodes["invalid_scope"],
	"unauthorized_client":       refusedCodes["unauthorized_client"],
	"deleted_client":            refusedCodes["deleted_client"],
	"invalid_client":            refusedCodes["invalid_client"],
	"disallowed_useragent":      "open the page in a proper browser, not inside another program",
	"consent_required":          "an administrator must allow the client for the organisation first",
	"interaction_required":      "open the page again and sign in",
	"login_required":            "open the page again and sign in",
	"server_error":              "the provider has a fault: open the page again later",
	"temporarily_unavailable":   "the provider is overloaded: open the page again later",
	"invalid_request":           "check client_id and scopes",
	"unsupported_response_type": "use a client of the kind \"Desktop app\"",
}

func consentError(code, description string) error {
	words := printable.Quote(code)
	if description != "" {
		words += " " + printable.Quote(description)
	}
	fix := consentFixes[code]
	if fix == "" {
		fix = "open the page again"
	}
	return fmt.Errorf("the consent page answered %s; %s", words, fix)
}

func (c Consent) Format(f fmt.State, _ rune) { io.WriteString(f, "consent "+secret.Redacted) }
