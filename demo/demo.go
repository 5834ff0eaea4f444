// Package demo is a simulated Gmail on loopback: OAuth, IMAP, POP3 and SMTP
// with Gmail's bytes and faults on demand. It imports nothing else of this
// project, so that tests can check the product against it.
//
// Packages oauthserver and mailserver are its servers, mailstore has the mailboxes
// of both, and fault has the faults that a test can inject. Mailboxes are in memory
// and end with the process.
package demo

import (
	"crypto/x509"
	"fmt"
	"net"

	"authferry/demo/certs"
	"authferry/demo/eventlog"
	"authferry/demo/fault"
	"authferry/demo/mailserver"
	"authferry/demo/mailstore"
	"authferry/demo/oauthserver"
)

// Provider is a running simulation.
type Provider struct {
	oauthserver.ClientConfig // the OAuth endpoints and the client that is registered

	// Addresses as host:port. IMAP, POP3 and SMTP speak TLS from the first
	// byte; SMTPStartTLS is Gmail's port 587.
	IMAP, POP3, SMTP, SMTPStartTLS string

	CAPEM []byte         // the authority of its certificates
	CAs   *x509.CertPool // the same

	Faults *Faults

	listeners []net.Listener
	store     *mailstore.Store
	log       *eventlog.Log
	oauth     *oauthserver.Server
	mail      *mailserver.Server
}

// Start listens on free loopback ports.
func Start(o Options) (*Provider, error) {
	o = o.withDefaults()
	leaf, caPEM, pool, err := certs.New()
	if err != nil {
		return nil, err
	}
	l, err := listen("oauth", "imap", "pop3", "smtp", "smtp")
	if err != nil {
		return nil, err
	}
	p := &Provider{
		IMAP: l[1].Addr().String(), POP3: l[2].Addr().String(), SMTP: l[3].Addr().String(), SMTPStartTLS: l[4].Addr().String(),
		CAPEM: caPEM, CAs: pool,
		Faults:    fault.New(),
		listeners: l,
		store:     mailstore.New(o.Mailboxes, o.Shared),
		log:       eventlog.New(o.Log),
	}
	p.Faults.NoDelegation(o.NoDelegation)
	p.oauth = oauthserver.Start(l[0], oauthserver.Options{
		Store: p.store, Faults: p.Faults, Log: p.log,
		TokenLife: o.TokenLife, GrantLife: o.GrantLife, DeviceLife: o.DeviceLife, DeviceInterval: o.DeviceInterval,
		PublicClient: o.PublicClient, NoDeviceMail: o.NoDeviceMail,
	})
	p.ClientConfig = p.oauth.Client()
	p.mail = mailserver.Start(mailserver.Listeners{IMAP: l[1], POP3: l[2], SMTP: l[3], SMTPStartTLS: l[4]}, mailserver.Options{
		Store: p.store, Faults: p.Faults, Log: p.log, Auth: p.oauth, Certificate: leaf,
		SessionLife: o.SessionLife, MaxSessions: o.MaxSessions, AllCapabilities: o.AllCapabilities, GreetingDelay: o.GreetingDelay,
	})
	return p, nil
}

// listen opens a loopback port for each protocol, or none.
func listen(protocols ...string) ([]net.Listener, error) {
	var listeners []net.Listener
	for _, protocol := range protocols {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			for _, l := range listeners {
				l.Close()
			}
			return nil, fmt.Errorf("opening a loopback port for the simulated %s service: %w", protocol, err)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// Close ends every connection and frees the ports.
func (p *Provider) Close() error {
	for _, l := range p.listeners {
		l.Close()
	}
	p.oauth.Close()
	p.mail.Close()
	return nil
}

// Deliver puts a message into a mailbox's INBOX. The message is kept as it is;
// its lines should end in CRLF.
func (p *Provider) Deliver(mailbox string, message []byte) error {
	m, err := p.find(mailbox)
	if err != nil {
		return err
	}
	m.Deliver("INBOX", message)
	p.log.Printf("mail: a message of %d bytes was put into the INBOX of %s", len(message), m.Address())
	return nil
}

// Messages returns the messages of a mailbox's folder as they are stored.
func (p *Provider) Messages(mailbox, folder string) ([][]byte, error) {
	m, err := p.find(mailbox)
	if err != nil {
		return nil, err
	}
	return m.Messages(folder)
}

func (p *Provider) find(mailbox string) (*mailstore.Mailbox, error) {
	m := p.store.Find(mailstore.Canonical(mailbox))
	if m == nil {
		return nil, fmt.Errorf("no mailbox %s is simulated: name it in Options.Mailboxes", mailbox)
	}
	return m, nil
}

// Consent does what a person does on the consent page: it opens the URL,
// chooses the mailbox, allows, and returns the address it was redirected to
// without following it.
func (p *Provider) Consent(url, mailbox string) (redirected string, err error) {
	return oauthserver.Visit(url, mailbox, "allow")
}

// Deny is [Provider.Consent] with the answer no.
func (p *Provider) Deny(url, mailbox string) (redirected string, err error) {
	return oauthserver.Visit(url, mailbox, "deny")
}

// ConfirmDevice does what a person does who is shown a device's code: it opens
// the device page, types the code, chooses the mailbox and allows.
func (p *Provider) ConfirmDevice(userCode, as string) error {
	return oauthserver.VisitDevice(p.DevicePage, userCode, as, "allow")
}

// DenyDevice is [Provider.ConfirmDevice] with the answer no.
func (p *Provider) DenyDevice(userCode string) error {
	return oauthserver.VisitDevice(p.DevicePage, userCode, "", "deny")
}

// ServiceAccountJSON returns the key of a service account as Google's console
// offers it for download. The account may act for every mailbox here, unless
// [Options.NoDelegation] or [Faults.NoDelegation] is on.
func (p *Provider) ServiceAccountJSON() []byte { return oauthserver.ServiceAccountJSON(p.ClientConfig) }

// ClientCertificatePEM returns a certificate that the client may authenticate with
// in place of its secret (RFC 7523 §2.2), as if it had been uploaded to the
// provider's console.
func (p *Provider) ClientCertificatePEM() []byte { return oauthserver.ClientCertificatePEM() }

// ClientKeyPEM returns the key of [Provider.ClientCertificatePEM].
func (p *Provider) ClientKeyPEM() []byte { return oauthserver.ClientKeyPEM() }

// TokenCalls returns how many requests the token endpoint has had, by grant type
// ("authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"
// ...). A request counts before it is answered.
func (p *Provider) TokenCalls(grantType string) int { return p.oauth.TokenCalls(grantType) }

// ExpireAccessTokens makes every access token issued so far invalid.
func (p *Provider) ExpireAccessTokens() { p.oauth.ExpireAccessTokens() }

// RevokeGrants revokes every grant of a mailbox: refresh answers
// invalid_grant, and access tokens are refused.
func (p *Provider) RevokeGrants(mailbox string) { p.oauth.RevokeGrants(mailbox) }

// EarlyTalkers returns how many connections sent bytes before they were greeted,
// or ahead of a TLS handshake. A client that does so would lose them, or worse,
// at a real provider.
func (p *Provider) EarlyTalkers() int { return p.mail.EarlyTalkers() }
