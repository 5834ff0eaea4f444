package demo

import "time"

// Options describe a simulated provider. The zero value is a Gmail with no mailboxes.
type Options struct {
	Mailboxes []string      // addresses; nobody asks for their Google password
	TokenLife time.Duration // of access tokens; 0: Google's 3599 s
	// Log is told what happens, one line a call, one call at a time, without
	// line end; it never gets a token. nil: nobody is told.
	Log func(line string)

	// Shared names, by mailbox, who else is let into it with a token of their
	// own. A mailbox named only here has nobody who could sign in as it.
	Shared map[string][]string

	// GrantLife is how long a consent holds before refresh answers
	// invalid_grant; token answers say so in refresh_token_expires_in, as
	// Google's do while a consent screen is in Testing (604799 s). 0: for good.
	GrantLife time.Duration
	// SessionLife is how long an IMAP session lasts. 0: as long as the access
	// token it began with; negative: for good.
	SessionLife time.Duration
	// MaxSessions is how many IMAP sessions a mailbox may have at a time
	// (Gmail: 15). 0: any number.
	MaxSessions int
	// AllCapabilities makes IMAP advertise Gmail's whole list after login,
	// with extensions that are not served here (COMPRESS=DEFLATE, CONDSTORE,
	// X-GM-EXT-1 ...). For dialogues only: a client that uses one gets BAD.
	AllCapabilities bool
	// GreetingDelay is how long a client is given to speak out of turn before
	// it is greeted; see [Provider.EarlyTalkers]. 0: 2 ms.
	GreetingDelay time.Duration

	// PublicClient is a client without a secret (RFC 6749 §2.1).
	PublicClient bool
	// NoDelegation is [Faults.NoDelegation] from the start.
	NoDelegation bool
	// NoDeviceMail refuses device codes for mail, as the real Gmail does.
	NoDeviceMail bool
	// DeviceLife is how long a device code waits for its person (0: Google's
	// 1800 s), and DeviceInterval how often the device may ask (0: 1 s; Google: 5).
	DeviceLife, DeviceInterval time.Duration
}

func newProvider(o Options) *Provider {
	if o.TokenLife == 0 {
		o.TokenLife = 3599 * time.Second
	}
	if o.GreetingDelay == 0 {
		o.GreetingDelay = 2 * time.Millisecond
	}
	if o.DeviceLife == 0 {
		o.DeviceLife = 1800 * time.Second
	}
	if o.DeviceInterval == 0 {
		o.DeviceInterval = time.Second
	}
	p := &Provider{
		ClientID:     "100000000000-demo.apps.googleusercontent.com",
		ClientSecret: "GOCSPX-" + randomToken(28),
		Scope:        gmailScope,
		Faults:       &Faults{mail: make(map[string]MailFault), undelegate: o.NoDelegation},
		options:      o,
		grants:       newGrants(),
		devices:      devices{byCode: make(map[string]*device)},
		accounts:     make(map[string]*account),
		imapDoor:     newDoor(),
		smtpDoor:     newDoor(),
		closing:      make(chan struct{}),
		conns:        make(map[*conn]struct{}),
		tokenCalls:   make(map[string]int),
	}
	for _, address := range o.Mailboxes {
		address = canonical(address)
		p.accounts[address] = newAccount(address)
	}
	for address, delegates := range o.Shared {
		address = canonical(address)
		a := p.accounts[address]
		if a == nil {
			a = newAccount(address)
			a.nobodys = true
			p.accounts[address] = a
		}
		for _, d := range delegates {
			a.delegates = append(a.delegates, canonical(d))
		}
	}
	if o.PublicClient {
		p.ClientSecret = ""
	}
	return p
}
