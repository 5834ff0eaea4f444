package tokens

import (
	"crypto/x509"
	"time"
)

// Provider is what must be known of a mail provider to log in to it with OAuth:
// data, not code. Built-in ones are listed by [Builtin]; the configuration may
// override any field and add others.
type Provider struct {
	Name string

	AuthURL      string // the consent page
	TokenURL     string
	ClientID     string
	ClientSecret Secret // empty for public clients
	Scopes       []string
	// AuthParams are added to the consent URL (Google: access_type=offline).
	AuthParams map[string]string
	// RedirectHost names the loopback host in the redirect URL: "127.0.0.1",
	// or "localhost" for Microsoft, which ignores the port for that name alone.
	RedirectHost string

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

// DefaultRefreshAhead is the share of a token's life a login starts with at least.
const DefaultRefreshAhead = 0.75

// RefreshTimeout bounds one call to a token endpoint.
const RefreshTimeout = 20 * time.Second

// Builtin returns the providers known without configuration ("gmail",
// "microsoft"), each call a fresh copy; they lack a client of yours.
func Builtin() map[string]*Provider { panic("unwritten") }
