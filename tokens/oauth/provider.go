// Package oauth gets OAuth tokens from a provider, classifies its failures, and says
// what to do about them.
//
// A [Provider] is data: addresses, client, flow. Its methods obtain consent
// ([Provider.NewConsent], [Provider.StartDevice]), mint, refresh and revoke tokens. A
// failure is an [Error] with a [Cause], and each cause has [Advice].
package oauth

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"authferry/internal/protocol"
	"authferry/internal/secret"
)

// Provider describes how to log in to a mail provider with OAuth: data, not code.
// [Builtin] lists those that need no configuration; the configuration may override any
// field and add others.
type Provider struct {
	Name string
	Flow Flow

	AuthURL      string // the consent page
	TokenURL     string
	Issuer       string // checked against the iss of a redirect (RFC 9207); empty: not checked
	DeviceURL    string // the device authorization endpoint (RFC 8628 §3.1)
	RevokeURL    string // the revocation endpoint (RFC 7009); empty: the provider has none
	UserInfoURL  string // says whose an access token is; called only to explain a refusal
	ClientID     string
	ClientSecret secret.String // empty for public clients
	// LoopbackOnly reports that the client accepts only redirects to a loopback
	// address (Google's type "Desktop app").
	LoopbackOnly bool
	Scopes       []string
	// AuthParams are added to the consent URL (Google: access_type=offline).
	AuthParams map[string]string
	// RedirectHost names the loopback host in the redirect URL: "127.0.0.1",
	// or "localhost" for Microsoft, which ignores the port for that name alone.
	RedirectHost string

	// For flows without a person; see the [Flow] constants.
	ServiceAccount *ServiceAccount
	Certificate    *ClientCertificate // instead of ClientSecret
	TokenCommand   []string           // program and arguments

	Mechanism string // "XOAUTH2" or "OAUTHBEARER"

	IMAP, POP3, SMTP Endpoint

	// IMAPInitialResponse reports that IMAP accepts an initial response (SASL-IR,
	// RFC 4959) although its greeting does not list capabilities.
	IMAPInitialResponse bool
	// POP3TwoLine reports that POP3 AUTH with an initial response fails, so the
	// response must be sent on a separate line (Microsoft).
	POP3TwoLine bool
	// SMTPExtensions are the keyword lines of the EHLO response before login, when
	// the account, and so the provider, is not known yet.
	SMTPExtensions []string

	// RefreshAhead is the share of an access token's life that must be left at
	// the start of a login (0.75: 45 of 60 minutes), because providers end a
	// session when the token it began with ends.
	RefreshAhead float64

	// KeepAlive is how long a grant may be unused before it is refreshed to keep it:
	// Google ends one that was not used for six months. 0: [DefaultKeepAlive].
	KeepAlive time.Duration

	// Timeout bounds one call to the provider's OAuth service, and one run of
	// TokenCommand. 0: 20 seconds.
	Timeout time.Duration

	// Proxy is used for mail and for OAuth: an http://, https:// or socks5://
	// address. nil: mail connects directly, and HTTPS uses the proxy of the
	// environment (HTTPS_PROXY).
	Proxy *url.URL

	// RootCAs verify the provider's certificates, for mail and for TokenURL;
	// nil: the system's.
	RootCAs *x509.CertPool
}

// Endpoint is the address of a provider's server for one protocol.
type Endpoint struct {
	Host     string // as in its certificate; empty: the provider does not serve this protocol
	Port     int
	StartTLS bool // TLS after STARTTLS or STLS; otherwise from the first byte
}

// Flow is how a provider issues tokens for a mailbox.
type Flow string

const (
	// FlowConsent: the owner signs in once on the consent page (RFC 6749 §4.1), which
	// yields a refresh token. The zero value of Flow means this flow too.
	FlowConsent Flow = "consent"
	// FlowDeviceCode: the same, but the owner types a code on any device (RFC 8628).
	FlowDeviceCode Flow = "device_code"
	// FlowServiceAccount: a Google service account with domain-wide delegation
	// signs an assertion with the mailbox as its subject (RFC 7523).
	FlowServiceAccount Flow = "service_account"
	// FlowClientCredentials: the OAuth client itself may open the mailbox (RFC 6749
	// §4.4), authenticated by its secret or a certificate (RFC 7523 §2.2).
	FlowClientCredentials Flow = "client_credentials"
	// FlowTokenCommand: the administrator's program prints a token.
	FlowTokenCommand Flow = "token_command"
)

// Flows lists all flows.
var Flows = []Flow{FlowConsent, FlowDeviceCode, FlowServiceAccount, FlowClientCredentials, FlowTokenCommand}

// NeedsPerson reports whether the mailbox's owner has to sign in. In the other flows
// the right to request tokens opens every mailbox in reach: an administrator must
// enrol such mailboxes, never a login.
func (f Flow) NeedsPerson() bool {
	return f == "" || f == FlowConsent || f == FlowDeviceCode
}

// DefaultRefreshAhead is the least share of its life that a token has when a login
// starts.
const DefaultRefreshAhead = 0.75

// DefaultKeepAlive is well within Google's six months and Microsoft's ninety days.
const DefaultKeepAlive = 30 * 24 * time.Hour

// defaultTimeout is the limit of one call unless [Provider.Timeout] is set.
const defaultTimeout = 20 * time.Second

const maxRefreshAhead = 0.95

// Builtin returns new copies of the providers that need no configuration except an
// OAuth client: "gmail" and "microsoft".
func Builtin() map[string]*Provider {
	return map[string]*Provider{"gmail": newGmail(), "microsoft": newMicrosoft()}
}

func newGmail() *Provider {
	return &Provider{
		Name:     "gmail",
		AuthURL:  "https://accounts.google.com/o/oauth2/v2/auth",
		TokenURL: "https://oauth2.googleapis.com/token",
		// Revokes all grants to the same project.
		RevokeURL:   "https://oauth2.googleapis.com/revoke",
		UserInfoURL: "https://gmail.googleapis.com/gmail/v1/users/me/profile",
		Issuer:      "https://accounts.google.com",
		// The only scope that IMAP accepts:
		// https://developers.google.com/workspace/gmail/imap/xoauth2-protocol
		Scopes: []string{"https://mail.google.com/"},
		// Without these a second consent yields no refresh token:
		// https://developers.google.com/identity/protocols/oauth2/web-server#offline
		AuthParams:   map[string]string{"access_type": "offline", "prompt": "consent"},
		RedirectHost: "127.0.0.1",

		Mechanism: "XOAUTH2",
		IMAP:      Endpoint{Host: "imap.gmail.com", Port: 993},
		POP3:      Endpoint{Host: "pop.gmail.com", Port: 995},
		SMTP:      Endpoint{Host: "smtp.gmail.com", Port: 465},

		IMAPInitialResponse: true,
		SMTPExtensions: []string{
			"SIZE 35882577", "8BITMIME", "ENHANCEDSTATUSCODES", "PIPELINING", "CHUNKING", "SMTPUTF8",
		},
		RefreshAhead: DefaultRefreshAhead,
	}
}

func newMicrosoft() *Provider {
	return &Provider{
		Name:      "microsoft",
		AuthURL:   "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
		TokenURL:  "https://login.microsoftonline.com/common/oauth2/v2.0/token",
		DeviceURL: "https://login.microsoftonline.com/common/oauth2/v2.0/devicecode",
		// All belong to one resource: a token is valid for one only.
		// https://learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth
		Scopes: []string{
			"https://outlook.office.com/IMAP.AccessAsUser.All",
			"https://outlook.office.com/POP.AccessAsUser.All",
			"https://outlook.office.com/SMTP.Send",
			"offline_access",
			// These belong to no resource and yield an ID token, which says who
			// signed in if the access token does not. Microsoft's libraries
			// always request them.
			"openid", "profile",
		},
		RedirectHost: "localhost",

		Mechanism: "XOAUTH2",
		IMAP:      Endpoint{Host: "outlook.office365.com", Port: 993},
		POP3:      Endpoint{Host: "outlook.office365.com", Port: 995},
		SMTP:      Endpoint{Host: "smtp.office365.com", Port: 587, StartTLS: true},

		IMAPInitialResponse: true,
		POP3TwoLine:         true,
		SMTPExtensions: []string{
			"SIZE 157286400", "PIPELINING", "DSN", "ENHANCEDSTATUSCODES", "8BITMIME", "BINARYMIME", "CHUNKING", "SMTPUTF8",
		},
		RefreshAhead: DefaultRefreshAhead,
	}
}

// Refresh gets a new access token to replace t, for the account that signs in.
func (p *Provider) Refresh(ctx context.Context, t Token, signIn string, now time.Time) (Token, error) {
	if p.Flow.NeedsPerson() {
		return refreshGrant(ctx, p, t, now)
	}
	minted, err := mintUnattended(ctx, p, signIn, now)
	if err != nil {
		return Token{}, err
	}
	return *minted, nil
}

// Mint gets an access token for a mailbox by a flow without a person, to try it before
// the mailbox is connected.
func (p *Provider) Mint(ctx context.Context, mailbox string) (*Token, error) {
	if p.Flow.NeedsPerson() {
		return nil, &EndpointError{Kind: ErrNeedsConsent, reason: fmt.Sprintf("the provider %s issues tokens only after a sign-in: authferry connect %s", p.Name, mailbox)}
	}
	t, err := mintUnattended(ctx, p, mailbox, time.Now())
	if err != nil {
		return nil, explain(p, mailbox, err)
	}
	return t, nil
}

// Redeem exchanges a refresh token that another program got, to take a mailbox over
// from it. The token must have been issued to the same client. The response may have
// another refresh token, which is then the only valid one.
func (p *Provider) Redeem(ctx context.Context, refresh secret.String) (*Token, error) {
	t, err := p.Refresh(ctx, Token{Refresh: refresh}, "", time.Now())
	if err != nil {
		return nil, err
	}
	return &t, nil
}

// NewConsent prepares a consent. redirect is where the provider sends the browser
// afterwards: a loopback address (RFC 8252 §7.3), on which nothing needs to listen if
// the owner pastes the address.
func (p *Provider) NewConsent(redirect, mailbox string) (*Consent, error) {
	return newConsent(p, redirect, mailbox)
}

// StartDevice requests a device code.
func (p *Provider) StartDevice(ctx context.Context) (*Device, error) { return requestDevice(ctx, p) }

// Revoke revokes a grant (RFC 7009). It returns nil if the grant has ended already.
// Google revokes all grants that the owner gave to clients of the same project. Flows
// without a person have no grant to revoke.
func (p *Provider) Revoke(ctx context.Context, t Token) error {
	if err := revoke(ctx, p, t); err != nil {
		return fmt.Errorf("revoking the grant: %w", err)
	}
	return nil
}

// WhoIs returns the account that a token belongs to, to explain a refusal: people have
// more than one account and sign in with the wrong one. The result is not verified, so
// no right may depend on it.
func (p *Provider) WhoIs(ctx context.Context, t *Token) (address string, err error) {
	return tokenOwner(ctx, p, t)
}

// CheckGrant refuses a grant that would not last or does not open the mail.
func (p *Provider) CheckGrant(t *Token) error { return checkGrant(p, t) }

// MissingScopes returns the requested scopes that are not among the granted ones,
// without those that only concern the sign-in.
func (p *Provider) MissingScopes(granted []string) []string { return missingScopes(p.Scopes, granted) }

// Diagnose returns what a failed attempt to replace the token t means. The owner gave
// consent at connected (zero: not known).
func (p *Provider) Diagnose(t Token, connected time.Time, e *EndpointError, now time.Time) (cause Cause, kind error) {
	return diagnose(p, t, connected, e, now)
}

// ConnectionsPage returns the page where the owner of an account can revoke a grant.
func (p *Provider) ConnectionsPage() string { return connectionsPage(p) }

// Brand returns the owner of the sign-in page as people know it: "Google", "Microsoft",
// or the name of the provider's table.
func (p *Provider) Brand() string {
	switch vendorOf(p) {
	case google:
		return "Google"
	case microsoft:
		return "Microsoft"
	}
	return p.Name
}

// ProbeTokenEndpoint sends one request to the token endpoint, with the limits and the
// proxy of every other, and returns the response whatever its status: for diagnosis.
// It posts form as the client, or makes a GET if form is nil. Errors are those of the
// network.
func (p *Provider) ProbeTokenEndpoint(ctx context.Context, form url.Values) (*Response, error) {
	if form != nil {
		if err := authenticateClient(form, p, time.Now()); err != nil {
			return nil, err
		}
	}
	return tokenCall(p, form).roundTrip(ctx)
}

// ProxyFor returns the proxy for an OAuth call to u; nil: none.
func (p *Provider) ProxyFor(u *url.URL) (*url.URL, error) {
	if p.Proxy != nil {
		return p.Proxy, nil
	}
	return http.ProxyFromEnvironment(&http.Request{URL: u})
}

// Endpoint returns the address of the server for a protocol.
func (p *Provider) Endpoint(of protocol.Protocol) Endpoint {
	switch of {
	case protocol.IMAP:
		return p.IMAP
	case protocol.POP3:
		return p.POP3
	case protocol.SMTP:
		return p.SMTP
	}
	return Endpoint{}
}

// FirstProtocol returns the protocol to try a login with: IMAP, if it is served.
func (p *Provider) FirstProtocol() protocol.Protocol {
	for _, first := range protocol.All {
		if p.Endpoint(first).Host != "" {
			return first
		}
	}
	return protocol.IMAP
}

// CallTimeout returns the limit of one call.
func (p *Provider) CallTimeout() time.Duration {
	if p.Timeout <= 0 {
		return defaultTimeout
	}
	return p.Timeout
}

// Ahead returns the effective RefreshAhead. A share of 1 or more would make every
// login refresh.
func (p *Provider) Ahead() float64 {
	if p.RefreshAhead <= 0 {
		return DefaultRefreshAhead
	}
	return min(p.RefreshAhead, maxRefreshAhead)
}

// Format and MarshalText print the name alone: TokenCommand and Proxy may contain a
// secret.
func (p Provider) Format(f fmt.State, _ rune) { io.WriteString(f, "provider "+p.Name) }

func (p Provider) MarshalText() ([]byte, error) { return []byte("provider " + p.Name), nil }
