package tokens

import "strings"

// recentPrefix in front of a POP3 user name asks Gmail for the mail of the last
// 30 days, whatever other programs have fetched. Gmail reads it from the user
// name, so it must reach Gmail.
const recentPrefix = "recent:"

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
