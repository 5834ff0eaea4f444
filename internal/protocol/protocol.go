// Package protocol names the mail protocols that authferry serves and speaks.
package protocol

import (
	"fmt"
	"slices"
	"strings"

	"authferry/internal/hint"
	"authferry/internal/printable"
)

// Protocol is a mail protocol, as stored records and the JSON of commands have it.
type Protocol string

const IMAP, POP3, SMTP Protocol = "imap", "pop3", "smtp"

// All has the protocols in the order of every list and form.
var All = [...]Protocol{IMAP, POP3, SMTP}

// Parse parses a name in any case. With an error it also returns what it read.
func Parse(text string) (Protocol, error) {
	p := Protocol(strings.ToLower(strings.TrimSpace(text)))
	return p, p.Check()
}

// List parses names. It keeps unknown ones, which [Protocol.Check] reports.
func List(texts []string) (list []Protocol) {
	for _, text := range texts {
		p, _ := Parse(text)
		list = append(list, p)
	}
	return list
}

// Check returns an error with a hint if there is no such protocol.
func (p Protocol) Check() error {
	if !p.Valid() {
		return hint.New(fmt.Errorf("the protocol %s is unknown", printable.Quote(string(p))), "choose from %s", Join(All[:], ", "))
	}
	return nil
}

// Valid reports whether p is one of [All].
func (p Protocol) Valid() bool { return slices.Contains(All[:], p) }

// Upper returns the name as people write it.
func (p Protocol) Upper() string { return strings.ToUpper(string(p)) }

// Join returns the names with a separator between them.
func Join(list []Protocol, separator string) string {
	names := make([]string, len(list))
	for i, p := range list {
		names[i] = string(p)
	}
	return strings.Join(names, separator)
}

// Allowed reports whether a list allows p. An empty list allows all protocols.
func Allowed(list []Protocol, p Protocol) bool { return len(list) == 0 || slices.Contains(list, p) }
