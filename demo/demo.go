// Package demo is a simulated Gmail on loopback: OAuth, IMAP, POP3 and SMTP
// with Gmail's bytes and faults on demand. It imports nothing else of this
// project, so that tests can hold the product against it.
package demo

import (
	"crypto/x509"
	"time"
)

// Options describe a simulated provider. The zero value is a Gmail with no mailboxes.
type Options struct {
	Mailboxes []string      // addresses; any password opens their consent page
	TokenLife time.Duration // of access tokens; 0: Google's 3599 s
	// Log is told what happens, one line a call, without line end; it never
	// gets a token. nil: nobody is told.
	Log func(line string)
}

// Provider is a running simulation.
type Provider struct {
	AuthURL, TokenURL, RevokeURL string // http:// on loopback
	TokenInfoURL                 string // Google's tokeninfo: ?access_token=...
	ClientID, ClientSecret       string
	Scope                        string

	// Addresses as host:port. IMAP, POP3 and SMTP speak TLS from the first
	// byte; SMTPStartTLS is Gmail's port 587.
	IMAP, POP3, SMTP, SMTPStartTLS string

	CAPEM []byte         // the authority of its certificates
	CAs   *x509.CertPool // the same

	Faults *Faults
}

// Start listens on free loopback ports.
func Start(o Options) (*Provider, error) { panic("unwritten") }

// Close ends every connection and frees the ports.
func (p *Provider) Close() error { panic("unwritten") }

// Deliver puts a message into a mailbox's INBOX.
func (p *Provider) Deliver(mailbox string, message []byte) error { panic("unwritten") }

// Messages returns the messages of a mailbox's folder as they are stored.
func (p *Provider) Messages(mailbox, folder string) ([][]byte, error) { panic("unwritten") }

// Consent does what a person does on the consent page: it opens the URL, signs
// in as the mailbox, allows, and returns the address it was redirected to
// without following it.
func (p *Provider) Consent(url, mailbox string) (redirected string, err error) { panic("unwritten") }

// TokenCalls is how many requests the token endpoint has answered, by grant
// type ("authorization_code", "refresh_token").
func (p *Provider) TokenCalls(grantType string) int { panic("unwritten") }

// ExpireAccessTokens makes every access token issued so far bad.
func (p *Provider) ExpireAccessTokens() { panic("unwritten") }

// RevokeGrants makes every grant of a mailbox bad: refresh answers invalid_grant.
func (p *Provider) RevokeGrants(mailbox string) { panic("unwritten") }
