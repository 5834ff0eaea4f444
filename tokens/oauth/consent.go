package oauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
	"unicode"

	"golang.org/x/oauth2"

	"authferry/internal/printable"
	"authferry/internal/secret"
)

// Consent is one request for the owner's consent on a provider's page: the
// authorization code flow with PKCE (RFC 7636, S256) and a checked state.
type Consent struct {
	URL string // the page to open

	provider *Provider
	redirect string
	state    secret.String
	verifier secret.String
}

func (c Consent) Format(f fmt.State, _ rune) { io.WriteString(f, "consent "+secret.Redacted) }

// newConsent is [Provider.NewConsent].
func newConsent(p *Provider, redirect, mailbox string) (*Consent, error) {
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

// Finish takes the address that the browser was redirected to (received on loopback,
// or pasted), checks its state, and exchanges its code.
func (c *Consent) Finish(ctx context.Context, redirected string) (*Token, error) {
	answer, err := readRedirect(redirected)
	if err != nil {
		return nil, err
	}
	if err := c.check(answer); err != nil {
		return nil, err
	}
	t, err := requestToken(ctx, c.provider, url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {answer.Get("code")},
		"redirect_uri":  {c.redirect},
		"code_verifier": {c.verifier.Reveal()},
	}, time.Now())
	if e := (*EndpointError)(nil); errors.As(err, &e) && e.code == "invalid_grant" {
		return nil, fmt.Errorf("exchanging the code: %w; a code is valid once and for some minutes: open the consent page again", err)
	}
	if err != nil {
		return nil, fmt.Errorf("exchanging the code: %w", err)
	}
	return t, nil
}

// Validate reports whether an address belongs to this consent and has a code or an
// error of the consent page. Unlike [Consent.Finish] it makes no call and uses nothing
// up: a person who pastes a wrong address may paste another.
func (c *Consent) Validate(redirected string) error {
	answer, err := readRedirect(redirected)
	if err != nil {
		return err
	}
	if answer.Get("error") != "" && secret.Equal(secret.String(answer.Get("state")), c.state) {
		return nil // Finish explains it
	}
	return c.check(answer)
}

// check reports whether a redirect belongs to this consent and has a code. The state
// comes first: nothing else in the address is trusted before.
func (c *Consent) check(answer url.Values) error {
	if !secret.Equal(secret.String(answer.Get("state")), c.state) {
		return errors.New("the address belongs to another sign-in (its state differs): open the consent page again and use the address that the browser ends up at")
	}
	if iss := answer.Get("iss"); iss != "" && c.provider.Issuer != "" && iss != c.provider.Issuer {
		return fmt.Errorf("the response comes from %s and not from %s (RFC 9207): this may be an attack that mixes up providers; start again", printable.Quote(iss), c.provider.Issuer)
	}
	if code := answer.Get("error"); code != "" {
		return consentError(code, answer.Get("error_description"))
	}
	if answer.Get("code") == "" {
		return errors.New("the address has no code in it: paste the whole address that the browser was redirected to, from http to the end")
	}
	return nil
}

// consentFixes are what to do about the errors of consent pages (RFC 6749 §4.1.2.1,
// and those of Google and Microsoft).
var consentFixes = map[string]string{
	"access_denied":             "the owner did not consent, or is not among the test users of a project in Testing: open the page again, or add the address under Audience, Test users in Google's console",
	"admin_policy_enforced":     codeFixes["admin_policy_enforced"],
	"org_internal":              codeFixes["org_internal"],
	"redirect_uri_mismatch":     codeFixes["redirect_uri_mismatch"],
	"invalid_scope":             codeFixes["invalid_scope"],
	"unauthorized_client":       codeFixes["unauthorized_client"],
	"deleted_client":            codeFixes["deleted_client"],
	"invalid_client":            codeFixes["invalid_client"],
	"disallowed_useragent":      "open the page in a browser, not inside another program",
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

// maxRedirect bounds the address of a redirect.
const maxRedirect = 16 << 10

// readRedirect reads the parameters of an address as people paste it: in quotes,
// broken into lines by a terminal, without http://, or the query alone. Its errors do
// not repeat the address, which may contain a valid code.
func readRedirect(address string) (url.Values, error) {
	notOne := errors.New("this is not the address that the browser was redirected to: that starts with http and contains state= and code=; copy it from the address bar, even if the page does not load")
	if len(address) > maxRedirect {
		return nil, notOne
	}
	address = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			return -1
		}
		return r
	}, address)
	address = strings.Trim(address, "\"'`<>")
	address = strings.ReplaceAll(address, "&amp;", "&")
	query := address
	if before, after, ok := strings.Cut(address, "?"); ok {
		query = after
	} else if i := strings.Index(before, "#"); i >= 0 {
		query = before[i:]
	}
	query, fragment, _ := strings.Cut(query, "#")
	if query == "" {
		query = fragment // response_mode=fragment
	}
	values, err := url.ParseQuery(query)
	if err != nil || !values.Has("state") && !values.Has("code") && !values.Has("error") {
		return nil, notOne
	}
	return values, nil
}
