// Package address parses mail addresses as people and programs write them, and
// the domains in them.
package address

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"authferry/internal/hint"
)

// maxLength is the length of the longest mail address: RFC 5321 §4.5.3.1.3 less
// the angle brackets.
const maxLength = 254

// Check reports why text cannot be the address of a mailbox. It takes what mail
// services take: letters of any language (RFC 6531) and quoted local parts.
func Check(text string) error {
	local, domain, ok := Split(text)
	quoted := len(local) > 1 && strings.HasPrefix(local, `"`) && strings.HasSuffix(local, `"`)
	switch {
	case !ok || local == "" || domain == "" || strings.Contains(local, "@") && !quoted:
		return hint.New(fmt.Errorf("%.160q is not a mail address", text), "write it as you@example.com")
	case len(text) > maxLength:
		return fmt.Errorf("the address %.160q is too long: %d bytes, at most %d", text, len(text), maxLength)
	case strings.ContainsFunc(text, never):
		return fmt.Errorf("%.160q is not a mail address: no address has white space or control characters", text)
	}
	return nil
}

// never reports whether a character occurs in no address and no domain.
func never(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == utf8.RuneError }

// Split splits an address at its last @: a quoted local part may contain others.
func Split(address string) (local, domain string, ok bool) {
	i := strings.LastIndexByte(address, '@')
	if i < 0 {
		return address, "", false
	}
	return address[:i], address[i+1:], true
}

// Domain returns the domain of an address in the form of [FoldDomain]; "" if the
// text has none.
func Domain(address string) string {
	_, domain, _ := Split(address)
	return FoldDomain(domain)
}
