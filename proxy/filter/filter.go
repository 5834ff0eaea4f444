// Package filter limits what a session may do after its login: a read-only password
// changes nothing, a limited one sends so much and no more. Sessions without such
// limits have no filter, and nothing reads their bytes.
package filter

import (
	"fmt"
	"sync"

	"authferry/internal/printable"
	"authferry/proxy/relay"
	"authferry/tokens"
)

// filterOptions are what a session's filter depends on.
type Options struct {
	Protocol string // "imap", "pop3" or "smtp"
	Vault    *tokens.Vault
	Grant    *tokens.Grant
	Chunking bool // SMTP: the provider takes BDAT (RFC 3030)
}

// newNarrowing returns the filter that a session's password asks for, nil for most.
func New(o Options, to relay.Sender) relay.Filter {
	rules := o.Grant.Password
	n := &narrowing{to: to, password: fmt.Sprintf("the password \"%s\"", printable.ASCII(o.Grant.PasswordName, maxPasswordName))}
	n.turn = sync.NewCond(to)
	if o.Grant.Trusted {
		n.password = NetworkWords
	}
	switch {
	case o.Protocol == "imap" && rules.ReadOnly:
		newReadOnlyIMAP(n)
	case o.Protocol == "pop3" && rules.ReadOnly:
		newReadOnlyPOP3(n)
	case o.Protocol == "smtp" && (rules.MessagesPerHour > 0 || rules.Recipients > 0 || o.Grant.Trusted):
		newSendLimit(n, o.Vault, o.Grant, o.Chunking)
	default:
		return nil
	}
	return n
}

// maxPasswordName is how much of a password's name a reply shows: an SMTP reply
// has 512 bytes for all of it (RFC 5321 §4.5.3.1.5).
const maxPasswordName = 160
