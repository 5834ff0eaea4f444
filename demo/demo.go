// Package demo is a simulated Gmail on loopback: OAuth, IMAP, POP3 and SMTP
// with Gmail's bytes and faults on demand. It imports nothing else of this
// project, so that tests can hold the product against it.
//
// Up to the login each protocol is spoken here, byte for byte as Gmail was seen
// to speak it: greetings, capabilities, SASL challenges, refusals. After it
// IMAP is served by go-imap's imapserver and SMTP by go-smtp, two engines that
// are not ours; POP3 is small enough to be served here altogether.
//
// Mailboxes live in memory and end with the process.
package demo

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-smtp"
)

// Provider is a running simulation.
type Provider struct {
	AuthURL, TokenURL, RevokeURL string // http:// on loopback
	TokenInfoURL                 string // Google's tokeninfo: ?access_token=...
	UserInfoURL                  string // Gmail's users/me/profile: the token as Bearer
	// DeviceURL gives device codes (RFC 8628 §3.1), which Google does not for
	// mail and Microsoft does.
	DeviceURL string
	// IntrospectURL is RFC 7662 token introspection, which Google lacks and
	// Dovecot speaks: token=... by GET or POST, or the token as Bearer.
	IntrospectURL          string
	ClientID, ClientSecret string
	Scope                  string

	// Addresses as host:port. IMAP, POP3 and SMTP speak TLS from the first
	// byte; SMTPStartTLS is Gmail's port 587.
	IMAP, POP3, SMTP, SMTPStartTLS string

	CAPEM []byte         // the authority of its certificates
	CAs   *x509.CertPool // the same

	Faults *Faults

	options    Options
	grants     *grants
	devices    devices
	devicePage string
	accounts   map[string]*account // by lower-case address; fixed at start
	tls        *tls.Config
	imap       *imapserver.Server
	smtp       *smtp.Server
	imapDoor   *door
	smtpDoor   *door
	web        *http.Server

	logMu   sync.Mutex
	closing chan struct{}
	running sync.WaitGroup
	engines sync.WaitGroup

	mu         sync.Mutex
	listeners  []net.Listener
	conns      map[*conn]struct{}
	closed     bool
	early      int
	tokenCalls map[string]int
}

// Start listens on free loopback ports.
func Start(o Options) (*Provider, error) {
	p := newProvider(o)
	leaf, caPEM, pool, err := newAuthority()
	if err != nil {
		return nil, err
	}
	p.CAPEM, p.CAs = caPEM, pool
	p.tls = &tls.Config{Certificates: []tls.Certificate{leaf}, MinVersion: tls.VersionTLS12}
	p.Faults.changed = p.faultChanged

	p.startEngines()
	if err := p.listen(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// startEngines starts what serves sessions after their login.
func (p *Provider) startEngines() {
	p.imap = newIMAPEngine(p)
	p.smtp = newSMTPEngine(p)
	p.engines.Go(func() { p.imap.Serve(p.imapDoor) })
	p.engines.Go(func() { p.smtp.Serve(p.smtpDoor) })
	// An engine closed before it serves would trip over itself.
	<-p.imapDoor.open
	<-p.smtpDoor.open
}

// listen opens every port. The web server comes first: the rest need its URLs.
func (p *Provider) listen() error {
	l, err := p.open("oauth")
	if err != nil {
		return err
	}
	p.web = p.newWebServer("http://" + l.Addr().String())
	p.running.Go(func() { p.web.Serve(l) })

	for _, s := range []struct {
		protocol string
		implicit bool
		talk     func(*conn)
		address  *string
	}{
		{"imap", true, (*conn).imap, &p.IMAP},
		{"pop3", true, (*conn).pop3, &p.POP3},
		{"smtp", true, (*conn).smtp, &p.SMTP},
		{"smtp", false, (*conn).smtp, &p.SMTPStartTLS},
	} {
		l, err := p.open(s.protocol)
		if err != nil {
			return err
		}
		*s.address = l.Addr().String()
		p.running.Go(func() { p.serve(l, s.protocol, s.implicit, s.talk) })
	}
	return nil
}

func (p *Provider) open(protocol string) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening a loopback port for the simulated %s service: %w", protocol, err)
	}
	p.mu.Lock()
	p.listeners = append(p.listeners, l)
	p.mu.Unlock()
	return l, nil
}

// Close ends every connection and frees the ports.
func (p *Provider) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	close(p.closing)
	for _, l := range p.listeners {
		l.Close()
	}
	for c := range p.conns {
		c.raw.Close()
	}
	p.mu.Unlock()

	if p.web != nil {
		p.web.Close()
	}
	p.imapDoor.Close()
	p.smtpDoor.Close()
	p.engines.Wait() // imapserver's Close races with a Serve that is just beginning
	p.imap.Close()
	p.smtp.Close()
	p.running.Wait()
	return nil
}

// Deliver puts a message into a mailbox's INBOX. The message is kept as it is;
// its lines should end in CRLF.
func (p *Provider) Deliver(mailbox string, message []byte) error {
	a := p.accounts[canonical(mailbox)]
	if a == nil {
		return fmt.Errorf("no mailbox %s is simulated: name it in Options.Mailboxes", mailbox)
	}
	a.deliver("INBOX", message)
	p.logf("mail: a message of %d bytes was put into the INBOX of %s", len(message), a.address)
	return nil
}

// Messages returns the messages of a mailbox's folder as they are stored.
func (p *Provider) Messages(mailbox, folder string) ([][]byte, error) {
	a := p.accounts[canonical(mailbox)]
	if a == nil {
		return nil, fmt.Errorf("no mailbox %s is simulated: name it in Options.Mailboxes", mailbox)
	}
	return a.messages(folder)
}

// TokenCalls is how many requests the token endpoint has had, by grant type
// ("authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"
// ...). A request counts before it is answered.
func (p *Provider) TokenCalls(grantType string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tokenCalls[grantType]
}

// ExpireAccessTokens makes every access token issued so far bad.
func (p *Provider) ExpireAccessTokens() {
	p.grants.expireAccess()
	p.logf("oauth: every access token issued so far has expired")
}

// RevokeGrants makes every grant of a mailbox bad: refresh answers
// invalid_grant, and access tokens are refused.
func (p *Provider) RevokeGrants(mailbox string) {
	p.grants.revokeMailbox(canonical(mailbox))
	p.logf("oauth: %s revoked what it had allowed", canonical(mailbox))
}

// EarlyTalkers is how many connections sent bytes before they were greeted, or
// ahead of a TLS handshake. A client that does so would lose them, or worse,
// at a real provider.
func (p *Provider) EarlyTalkers() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.early
}

func (p *Provider) logf(format string, args ...any) {
	if p.options.Log == nil {
		return
	}
	p.logMu.Lock()
	defer p.logMu.Unlock()
	p.options.Log(fmt.Sprintf(format, args...))
}
