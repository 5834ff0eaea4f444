// Package mailstore keeps the mailboxes of the simulated Gmail in memory: folders,
// messages, flags and UIDs as IMAP has them (RFC 3501), and their owners.
//
// imapmemserver of go-imap is not used: it gives access to a message through an
// IMAP connection only (POP3 and tests need one without), rewrites what it parses,
// although tests compare bytes, keeps a folder locked while it writes to a client
// (a client that stops reading would stall all others), and lacks SPECIAL-USE. The
// store uses what imapmemserver is built on: imapserver and its trackers.
package mailstore

import (
	"slices"
	"strings"
)

// Store is the set of mailboxes. It does not change after [New].
type Store struct{ mailboxes map[string]*Mailbox }

// New returns a store with empty mailboxes. The keys of shared are mailboxes
// without an owner of their own, unless addresses names them too; the values are
// the addresses that may open them.
func New(addresses []string, shared map[string][]string) *Store {
	s := &Store{mailboxes: make(map[string]*Mailbox)}
	for _, address := range addresses {
		address = Canonical(address)
		s.mailboxes[address] = newMailbox(address)
	}
	for address, delegates := range shared {
		address = Canonical(address)
		m := s.mailboxes[address]
		if m == nil {
			m = newMailbox(address)
			m.shared = true
			s.mailboxes[address] = m
		}
		for _, d := range delegates {
			m.delegates = append(m.delegates, Canonical(d))
		}
	}
	return s
}

// Canonical returns the form under which an address is known.
func Canonical(address string) string { return strings.ToLower(strings.TrimSpace(address)) }

// Find returns the mailbox of a canonical address, or nil.
func (s *Store) Find(address string) *Mailbox { return s.mailboxes[address] }

// Owners returns the mailboxes whose owners can sign in, in order.
func (s *Store) Owners() []string {
	var owners []string
	for address := range s.mailboxes {
		if s.HasOwner(address) {
			owners = append(owners, address)
		}
	}
	slices.Sort(owners)
	return owners
}

// HasOwner reports whether a mailbox has an owner who signs in. A mailbox that is
// only shared has none.
func (s *Store) HasOwner(address string) bool {
	m := s.mailboxes[address]
	return m != nil && !m.shared
}

// Recipient returns the mailbox that gets the mail for an address, or nil. The
// local part counts up to a "+".
func (s *Store) Recipient(address string) *Mailbox {
	if m := s.mailboxes[Canonical(address)]; m != nil {
		return m
	}
	local, domain, _ := strings.Cut(Canonical(address), "@")
	local, _, _ = strings.Cut(local, "+")
	return s.mailboxes[local+"@"+domain]
}
