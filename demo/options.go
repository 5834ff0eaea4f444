package demo

import "time"

// Options describe a simulated provider. The zero value is a Gmail with no mailboxes.
type Options struct {
	Mailboxes []string      // addresses; no Google password is asked for
	TokenLife time.Duration // of access tokens; 0: Google's 3599 s
	// Log gets a line for each event, without its line end, one call at a time.
	// It never gets a token. It may be nil.
	Log func(line string)

	// Shared has, by mailbox, the other addresses that may open it with their own
	// tokens. A mailbox that only Shared names has no owner who could sign in.
	Shared map[string][]string

	// GrantLife is how long a consent holds before refresh answers
	// invalid_grant; token answers say so in refresh_token_expires_in, as
	// Google's do while a consent screen is in Testing (604799 s). 0: it does not end.
	GrantLife time.Duration
	// SessionLife is how long an IMAP session lasts. 0: as long as the access
	// token it began with; negative: without end.
	SessionLife time.Duration
	// MaxSessions is how many IMAP sessions a mailbox may have at a time
	// (Gmail: 15). 0: any number.
	MaxSessions int
	// AllCapabilities makes IMAP advertise Gmail's whole list after login,
	// with extensions that are not served here (COMPRESS=DEFLATE, CONDSTORE,
	// X-GM-EXT-1 ...). For dialogues only: a client that uses one gets BAD.
	AllCapabilities bool
	// GreetingDelay is how long the server waits for bytes that come before
	// its greeting; see [Provider.EarlyTalkers]. 0: 2 ms.
	GreetingDelay time.Duration

	// PublicClient is a client without a secret (RFC 6749 §2.1).
	PublicClient bool
	// NoDelegation is [Faults.NoDelegation] from the start.
	NoDelegation bool
	// NoDeviceMail refuses device codes for mail, as the real Gmail does.
	NoDeviceMail bool
	// DeviceLife is how long a device code stays valid (0: Google's
	// 1800 s), and DeviceInterval how often the device may poll (0: 1 s; Google: 5).
	DeviceLife, DeviceInterval time.Duration
}

// withDefaults returns the options with the values that 0 stands for.
func (o Options) withDefaults() Options {
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
	return o
}
