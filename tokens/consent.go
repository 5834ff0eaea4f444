package tokens

import "context"

// Consent is one visit of a mailbox's owner to a provider's consent page:
// authorization code with PKCE (RFC 7636, S256) and a checked state.
type Consent struct {
	URL string // the page to open
}

// NewConsent prepares a visit. redirect is where the provider sends the browser
// afterwards: a loopback address (RFC 8252 §7.3), which nobody need listen on
// if the owner pastes the address back.
func (p *Provider) NewConsent(redirect, mailbox string) (*Consent, error) { panic("unwritten") }

// Finish takes the address the browser was sent to, however it came back
// (loopback listener or paste), checks its state, and exchanges its code.
func (c *Consent) Finish(ctx context.Context, redirected string) (*Token, error) { panic("unwritten") }

// Loopback waits on this machine for a browser coming back from a consent page.
type Loopback struct {
	URL string // the redirect address to ask for
}

// ListenLoopback listens on a free port of the loopback interface. host is
// [Provider.RedirectHost].
func ListenLoopback(host string) (*Loopback, error) { panic("unwritten") }

// Wait returns the address a browser came back to. answer must be called once
// with what became of it: it decides which page the browser is shown.
func (l *Loopback) Wait(ctx context.Context) (redirected string, answer func(error), err error) {
	panic("unwritten")
}

// Close stops listening, once the last answer has been sent.
func (l *Loopback) Close() error { panic("unwritten") }
