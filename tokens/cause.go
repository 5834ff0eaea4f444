package tokens

// Cause is what kind of failure ended a grant, or keeps one from being used, as
// far as the provider's answer tells. Its text is stable: it is stored, and a
// label of metrics.
type Cause string

const (
	CauseUnknown        Cause = ""
	CauseRevoked        Cause = "revoked"         // withdrawn, unused too long, or the password was changed: answers do not tell which
	CauseTesting        Cause = "testing-ended"   // a consent screen in Testing: seven days
	CauseSessionControl Cause = "session-control" // the domain wants people to sign in again (invalid_rapt)
	CausePolicy         Cause = "policy"          // the domain's administrator does not let this client in
	CauseClientDeleted  Cause = "client-deleted"  // the OAuth client is gone
	CauseClient         Cause = "client"          // client id, secret, certificate or key are not right
	CauseDelegation     Cause = "delegation"      // a service account or application without the right to this mailbox
	CauseInteraction    Cause = "interaction"     // the provider wants the owner to sign in (MFA, conditional access)
	CauseClock          Cause = "clock"           // this machine's clock is wrong
	CauseNoGrant        Cause = "no-grant"        // there is nothing to refresh
	CauseCommand        Cause = "command"         // the token_command failed
	CauseThrottled      Cause = "throttled"       // too many calls: 429
	CauseOutage         Cause = "outage"          // 5xx, HTML, truncated JSON
	CauseUnreachable    Cause = "unreachable"     // DNS, TCP, TLS, no answer in time
)

// Advice is what to tell people about a failure: what it means, the one thing
// to do about it, and the page to do it on, if there is one.
type Advice struct {
	Words string
	Fix   string
	Page  string
}

// Advice puts a cause in words for the owner of a mailbox.
func (c Cause) Advice(mailbox string, p *Provider) Advice {
	return Advice{Words: string(c), Fix: "authferry connect " + mailbox}
}
