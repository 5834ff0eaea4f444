package tokens

import (
	"fmt"
	"strings"
	"unicode"

	"authferry/internal/printable"
)

// recentPrefix in front of a POP3 user name asks Gmail for the mail of the last
// 30 days, whatever other programs have fetched. Gmail reads it from the user
// name, so it must reach Gmail.
const recentPrefix = "recent:"

// maxAddress is the longest mail address there is: RFC 5321 §4.5.3.1.3 less the
// angle brackets.
const maxAddress = 254

// canonical maps a user name as programs send it to the mailbox it stands for
// and the name to give the provider. It does not look whether the mailbox exists.
func (s *Settings) canonical(user string) (mailbox, providerUser string) {
	name := strings.ToLower(strings.TrimSpace(user))
	if mailbox, ok := s.alias(name); ok {
		return mailbox, mailbox
	}
	prefix := ""
	if rest, ok := strings.CutPrefix(name, recentPrefix); ok {
		prefix, name = recentPrefix, strings.TrimSpace(rest)
	}
	// Programs that refuse an @ in a user name send it as in a URL.
	if !strings.Contains(name, "@") {
		name = strings.Replace(name, "%40", "@", 1)
	}
	if mailbox, ok := s.alias(name); ok {
		name = mailbox
	}
	return name, prefix + name
}

func (s *Settings) alias(name string) (mailbox string, ok bool) {
	mailbox, ok = s.Aliases[name]
	return strings.ToLower(mailbox), ok
}

// withFoldedAliases returns a copy whose aliases can be looked up in lower case.
func (s Settings) withFoldedAliases() *Settings {
	folded := make(map[string]string, len(s.Aliases))
	for name, mailbox := range s.Aliases {
		folded[strings.ToLower(strings.TrimSpace(name))] = mailbox
	}
	s.Aliases = folded
	return &s
}

// checkAddress refuses what cannot be the address of a mailbox.
func checkAddress(mailbox string) error {
	local, domain, ok := cutLast(mailbox, "@")
	switch {
	case !ok || local == "" || domain == "":
		return fmt.Errorf("%s is not a mail address: write it as you@example.com", printable.Quote(mailbox))
	case len(mailbox) > maxAddress:
		return fmt.Errorf("the address %s is too long: %d bytes, and mail allows %d", printable.Quote(mailbox), len(mailbox), maxAddress)
	case strings.ContainsFunc(mailbox, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || r == unicode.ReplacementChar
	}):
		return fmt.Errorf("the address %s has a character that no address has", printable.Quote(mailbox))
	}
	return nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
