package demo

import "time"

// Faults are what can be made to go wrong while the simulation runs.
type Faults struct{}

// TokenAnswer replaces the token endpoint's answers.
type TokenAnswer string

const (
	TokenNormal       TokenAnswer = ""
	TokenInvalidGrant TokenAnswer = "invalid_grant" // 400, without revoking anything
	TokenInvalidCli   TokenAnswer = "invalid_client" // 401
	Token500          TokenAnswer = "500"
	Token429          TokenAnswer = "429"
	TokenHTML         TokenAnswer = "html"  // 200 with a page, as a captive portal does
	TokenStall        TokenAnswer = "stall" // accepts and never answers
	TokenCut          TokenAnswer = "cut"   // closes in the middle of the answer
)

// Token sets what the token endpoint answers from now on.
func (f *Faults) Token(a TokenAnswer) { panic("unwritten") }

// TokenDelay makes the token endpoint wait before each answer.
func (f *Faults) TokenDelay(d time.Duration) { panic("unwritten") }

// Rotate makes every refresh answer with a new refresh token. The old one stays
// good until the new refresh token, or the access token that came with it, is
// first used; after that, using the old one revokes the whole grant (RFC 9700
// §4.14.2).
func (f *Faults) Rotate(on bool) { panic("unwritten") }

// MailFault is what a mail service does instead of its work.
type MailFault string

const (
	MailNormal     MailFault = ""
	MailRefuse     MailFault = "refuse"      // refuses every token, with Gmail's challenge
	MailDisabled   MailFault = "disabled"    // "not enabled for IMAP use" and its kin
	MailTooMany    MailFault = "too-many"    // too many simultaneous connections; SMTP: too many login attempts
	MailTemporary  MailFault = "temporary"   // temporary system problem
	MailWebLogin   MailFault = "web-login"   // log in via your web browser
	MailStall      MailFault = "stall"       // accepts and says nothing
	MailCut        MailFault = "cut"         // closes after the greeting
	MailCutMessage MailFault = "cut-message" // closes in the middle of the next message it sends
	MailBye        MailFault = "bye"         // IMAP: * BYE Session expired, please login again.
)

// Mail sets what a protocol ("imap", "pop3", "smtp") does from now on.
func (f *Faults) Mail(protocol string, m MailFault) { panic("unwritten") }
