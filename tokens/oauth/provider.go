// Package oauth knows how a provider issues tokens, what its failures mean, and what
// to do about them.
//
// A [Provider] is data: addresses, client, flow. Its methods obtain consent
// ([Provider.NewConsent], device codes), mint and refresh tokens, and revoke them.
// What goes wrong is an [Error] with a [Cause], and each cause has [Advice].
package oauth

import (
	"crypto/x509"
	"fmt"
	"io"
	"net/url"
	"time"

	"authferry/internal/secret"
)

// Provider is what must be known of a mail provider to log in to it with OAuth:
// data, not code. Built-in ones are listed by [Builtin]; the configuration may
// override any field and add others.
type Provider struct {
	Name string
	Flow Flow

	AuthURL      string // the consent page
	TokenURL     string
	Issuer       string // checked against the iss of a redirect (RFC 9207); empty: not checked
	DeviceURL    string // where a device code is asked for (RFC 8628 §3.1)
	RevokeURL    string // where a grant is given back (RFC 7009); empty: the provider has no such place
	UserInfoURL  string // tells whose an access token is; only asked to find the words for a refusal
	ClientID     string
	ClientSecret secret.String // empty for public clients
	// LoopbackOnly says that the client is known to take no redirect but to a
	// loopback address (Google's type "Desktop app").
	LoopbackOnly bool
	Scopes       []string
	// AuthParams are added to the consent URL (Google: access_type=offline).
	AuthParams map[string]string
	// RedirectHost names the loopback host in the redirect URL: "127.0.0.1",
	// or "localhost" for Microsoft, which ignores the port for that name alone.
	RedirectHost string

	// What flows without a person need; see the [Flow] constants.
	ServiceAccount *ServiceAccount
	Certificate    *ClientCertificate // instead of ClientSecret
	TokenCommand   []string           // program and arguments

	Mechanism string // "XOAUTH2" or "OAUTHBEARER"

	IMAP, POP3, SMTP Endpoint

	// IMAPInitialResponse says that IMAP takes an initial response (SASL-IR,
	// RFC 4959) although its greeting does not list capabilities.
	IMAPInitialResponse bool
	// POP3TwoLine says that POP3 AUTH with an initial response fails, so the
	// response must come on a line of its own (Microsoft).
	POP3TwoLine bool
	// SMTPExtensions is what EHLO answers before login, one keyword line each:
	// the account, hence the provider, is not known yet, so it cannot be asked.
	SMTPExtensions []string

	// RefreshAhead is the share of an access token's life that must be left at
	// the start of a login (0.75: 45 of 60 minutes), because providers end a
	// session when the token it began with ends.
	RefreshAhead float64

	// KeepAlive is the longest a grant may go unused before it is refreshed for
	// its own sake: Google drops one that nobody used for six months. 0: [DefaultKeepAlive].
	KeepAlive time.Duration

	// Timeout bounds one call to the provider's OAuth service, and one run of
	// TokenCommand. 0: [RefreshTimeout].
	Timeout time.Duration

	// Proxy is what calls to the provider go through, for mail and for OAuth:
	// an http://, https:// or socks5:// address. nil: mail goes straight, and
	// HTTPS as the environment says (HTTPS_PROXY).
	Proxy *url.URL

	// RootCAs verify the provider's certificates, for mail and for TokenURL;
	// nil: the system's.
	RootCAs *x509.CertPool
}

// Endpoint is where a provider serves one protocol.
type Endpoint struct {
	Host     string // for the certificate; empty: the provider does not serve this protocol
	Port     int
	StartTLS bool // TLS after STARTTLS or STLS; otherwise from the first byte
}

// FirstProtocol is the one to try a login over: "imap", if it is served.
func (p *Provider) FirstProtocol() string {
	switch {
	case p.IMAP.Host == "" && p.POP3.Host != "":
		return "pop3"
	case p.IMAP.Host == "" && p.SMTP.Host != "":
		return "smtp"
	}
	return "imap"
}

// DefaultRefreshAhead is the share of a token's life a login starts with at least.
const DefaultRefreshAhead = 0.75

// DefaultKeepAlive keeps a grant well inside of Google's six months and
// Microsoft's ninety days.
const DefaultKeepAlive = 30 * 24 * time.Hour

// RefreshTimeout bounds one call to a token endpoint where [Provider.Timeout]
// says nothing else.
const RefreshTimeout = 20 * time.Second

// Builtin returns the providers known without configuration ("gmail",
// "microsoft"), each call a fresh copy; they lack a client of yours.
func Builtin() map[string]*Provider {
	return map[string]*Provider{
		"gmail": {
			Name:     "gmail",
			AuthURL:  "https://accounts.google.com/o/oauth2/v2/auth",
			TokenURL: "https://oauth2.googleapis.com/token",
			// Takes back all that was granted to the project.
			RevokeURL:   "https://oauth2.googleapis.com/revoke",
			UserInfoURL: "https://gmail.googleapis.com/gmail/v1/users/me/profile",
			Issuer:      "https://accounts.google.com",
			// The only scope that IMAP takes:
			// https://developers.google.com/workspace/gmail/imap/xoauth2-protocol
			Scopes: []string{"https://mail.google.com/"},
			// Without these a second consent brings no refresh token:
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
		},
		"microsoft": {
			Name:      "microsoft",
			AuthURL:   "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
			TokenURL:  "https://login.microsoftonline.com/common/oauth2/v2.0/token",
			DeviceURL: "https://login.microsoftonline.com/common/oauth2/v2.0/devicecode",
			// All of one resource: a token is good for one only.
			// https://learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth
			Scopes: []string{
				"https://outlook.office.com/IMAP.AccessAsUser.All",
				"https://outlook.office.com/POP.AccessAsUser.All",
				"https://outlook.office.com/SMTP.Send",
				"offline_access",
				// They belong to no resource, and bring an ID token, which tells
				// who signed in where the access token does not; Microsoft's own
				// libraries ask for them always.
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
		},
	}
}

// timeout is the bound of one call in force.
func (p *Provider) CallTimeout() time.Duration {
	if p.Timeout <= 0 {
		return RefreshTimeout
	}
	return p.Timeout
}

// refreshAhead is the share in force: a share of all or more would have every
// login refresh.
func (p *Provider) Ahead() float64 {
	if p.RefreshAhead <= 0 {
		return DefaultRefreshAhead
	}
	return min(p.RefreshAhead, maxRefreshAhead)
}

const maxRefreshAhead = 0.95

func (p Provider) Format(f fmt.State, _ rune) { io.WriteString(f, "provider "+p.Name) }

func (p Provider) MarshalText() ([]byte, error) { return []byte("provider " + p.Name), nil } // its token_command and proxy may hold one
