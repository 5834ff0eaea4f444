// Package fault holds the faults that the simulated Gmail can be told to have.
package fault

import (
	"sync"
	"time"
)

// Injector holds the faults in force while the simulation runs. All methods may
// be called at any time from any goroutine.
type Injector struct {
	mu         sync.Mutex
	token      TokenAnswer
	tokenDelay time.Duration
	rotate     bool
	scopes     string
	undelegate bool
	clock      time.Duration
	mail       map[string]MailFault
	changed    func(protocol string, m MailFault)
}

// New returns an injector without faults.
func New() *Injector { return &Injector{mail: make(map[string]MailFault)} }

// TokenAnswer replaces the token endpoint's answers.
type TokenAnswer string

// What the token endpoint can be made to answer. [TokenStall] and [TokenCut]
// do the work first, as a network failing on the way back does: a refresh token
// that was to be rotated has been.
const (
	TokenNormal       TokenAnswer = ""
	TokenInvalidGrant TokenAnswer = "invalid_grant"  // 400, without revoking anything
	TokenInvalidCli   TokenAnswer = "invalid_client" // 401
	Token500          TokenAnswer = "500"
	Token429          TokenAnswer = "429"   // with Retry-After
	TokenHTML         TokenAnswer = "html"  // 200 with a page, as a captive portal does
	TokenStall        TokenAnswer = "stall" // accepts and never answers
	TokenCut          TokenAnswer = "cut"   // closes in the middle of the answer

	TokenInvalidRAPT     TokenAnswer = "invalid_rapt"          // 400 invalid_grant with error_subtype: the domain's session control
	TokenAdminPolicy     TokenAnswer = "admin_policy_enforced" // 400: the domain's administrator blocks the client
	TokenDeletedClient   TokenAnswer = "deleted_client"        // 401
	TokenUnauthorizedCli TokenAnswer = "unauthorized_client"   // 401
	Token503HTML         TokenAnswer = "503-html"              // 503 with a page, as a front end without its back end does
	TokenEmpty           TokenAnswer = "empty"                 // 200 with no body
)

// What the token endpoint can be made to change in its answers. The work is done.
const (
	TokenTruncated    TokenAnswer = "truncated"       // 200, a whole HTTP answer with half of the JSON
	TokenWrongType    TokenAnswer = "wrong-type"      // the JSON, labelled text/html
	TokenLifeString   TokenAnswer = "life-string"     // "expires_in": "3599"
	TokenLifeFloat    TokenAnswer = "life-float"      // "expires_in": 3599.5
	TokenLifeMissing  TokenAnswer = "life-missing"    // no expires_in (null)
	TokenGrantExpires TokenAnswer = "refresh-expires" // with "refresh_token_expires_in": 604799, although the grant does not end
)

// Token sets what the token endpoint answers from now on.
func (f *Injector) Token(a TokenAnswer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.token = a
}

// TokenDelay makes the token endpoint wait before each answer, its work done.
func (f *Injector) TokenDelay(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokenDelay = d
}

// Rotate makes every refresh answer with a new refresh token. The old one stays
// good until the new refresh token, or the access token that came with it, is
// first used; after that, using the old one revokes the whole grant (RFC 9700
// §4.14.2).
func (f *Injector) Rotate(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rotate = on
}

// GrantScopes makes the consent page grant these scopes instead of those asked
// for, as when a person leaves a box unticked. "": what was asked for.
func (f *Injector) GrantScopes(scopes string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.scopes = scopes
}

// NoDelegation denies the mailboxes to the service account and to the client
// itself: the token endpoint answers the first with unauthorized_client, and the
// mailboxes refuse the tokens of the second.
func (f *Injector) NoDelegation(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.undelegate = on
}

// Clock sets how far the provider's clock is ahead of this machine's (behind,
// if negative): in the Date of its web answers and where it judges the times
// in an assertion.
func (f *Injector) Clock(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clock = d
}

// MailFault is what a mail service does instead of its work.
type MailFault string

// What a mail service can be made to do. All of them affect connections made
// afterwards; [MailCutMessage] and [MailBye] affect the open ones too.
const (
	MailNormal     MailFault = ""
	MailRefuse     MailFault = "refuse"      // refuses every token, with Gmail's challenge
	MailDisabled   MailFault = "disabled"    // "not enabled for IMAP use" and similar
	MailTooMany    MailFault = "too-many"    // too many simultaneous connections; SMTP: too many login attempts
	MailTemporary  MailFault = "temporary"   // temporary system problem
	MailWebLogin   MailFault = "web-login"   // log in via your web browser
	MailStall      MailFault = "stall"       // accepts and says nothing
	MailCut        MailFault = "cut"         // closes after the greeting
	MailCutMessage MailFault = "cut-message" // closes in the middle of the next message it sends; SMTP: receives
	MailBye        MailFault = "bye"         // IMAP: * BYE Session expired, please login again. A new session gets it after its login
)

// Mail sets what a protocol ("imap", "pop3", "smtp") does from now on.
func (f *Injector) Mail(protocol string, m MailFault) {
	f.mu.Lock()
	f.mail[protocol] = m
	changed := f.changed
	f.mu.Unlock()
	if changed != nil {
		changed(protocol, m)
	}
}

// OnMail sets the function that [Injector.Mail] calls after each change.
func (f *Injector) OnMail(changed func(protocol string, m MailFault)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changed = changed
}

// MailFault returns the fault of a protocol.
func (f *Injector) MailFault(protocol string) MailFault {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mail[protocol]
}

// TokenFault returns the fault of the token endpoint and its delay.
func (f *Injector) TokenFault() (TokenAnswer, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.token, f.tokenDelay
}

// Rotates reports whether a refresh answers with a new refresh token.
func (f *Injector) Rotates() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rotate
}

// DelegationDenied reports whether [Injector.NoDelegation] is on.
func (f *Injector) DelegationDenied() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.undelegate
}

// ClockError returns how far the provider's clock is ahead.
func (f *Injector) ClockError() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clock
}

// GrantedScopes returns the scopes that the consent page grants.
func (f *Injector) GrantedScopes(asked string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.scopes != "" {
		return f.scopes
	}
	return asked
}
