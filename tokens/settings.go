package tokens

import (
	"fmt"
	"strings"
	"time"

	"authferry/internal/address"
	"authferry/internal/printable"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// Settings are what a configuration may change while the vault is in use.
type Settings struct {
	Providers map[string]*oauth.Provider // by name
	// Aliases are short user names for devices, each with its mailbox.
	Aliases map[string]string
	// Domains maps a domain to the provider that opens all its mailboxes without
	// a person (see [oauth.Flow.NeedsPerson]). A mailbox of such a domain is
	// enrolled when an administrator adds a local password to it.
	Domains map[string]string
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

// recentPrefix in front of a POP3 user name asks Gmail for the mail of the last
// 30 days, including what other programs have fetched. Gmail reads it from the
// user name, so it must reach Gmail.
const recentPrefix = "recent:"

// canonical maps a user name as programs send it to its mailbox and to the user
// name for the provider. It does not check that the mailbox exists.
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

// provider returns the provider of an account, or the error that a login gets
// where the configuration does not allow the account to be used.
func (s *Settings) provider(a *store.Account) (*oauth.Provider, error) {
	if a.Provider == "" {
		return nil, oauth.NewError(oauth.ErrNeedsConsent, a.Mailbox, nil, oauth.CauseNoGrant, a.Mailbox+" was removed, with its passwords kept")
	}
	p := s.Providers[a.Provider]
	if p == nil {
		return nil, &oauth.Error{
			Kind: oauth.ErrRefused, Reason: fmt.Sprintf("%s is connected to the provider %s, which is not configured", a.Mailbox, printable.Quote(a.Provider)),
			Advice: oauth.Advice{
				Words: "the mailbox's provider is no longer in authferry's configuration",
				Fix:   fmt.Sprintf("add a table [provider.%s], or connect the mailbox to another one", a.Provider),
			},
		}
	}
	_, domain, _ := address.Split(a.Mailbox)
	enrolled := a.Connected.IsZero() // otherwise it was connected by itself
	if enrolled && s.Domains[domain] != a.Provider {
		return nil, &oauth.Error{
			Kind: oauth.ErrRefused, Reason: fmt.Sprintf("%s was enrolled by its domain, which the configuration no longer assigns to %s", a.Mailbox, a.Provider),
			Advice: oauth.Advice{
				Words: "the mailbox's domain is no longer in authferry's configuration",
				Fix:   fmt.Sprintf("add [domain.%q] with provider = %q again, or run authferry connect %s", domain, a.Provider, a.Mailbox),
			},
		}
	}
	return p, nil
}

// enrol makes a mailbox of a domain whose provider opens all mailboxes. Only an
// administrator may cause it, never a login: no consent proves that the mailbox
// belongs to the client, and the provider would issue a token for any mailbox.
func (s *Settings) enrol(a *store.Account, now time.Time) error {
	_, domain, _ := address.Split(a.Mailbox)
	name, ok := s.Domains[domain]
	if !ok {
		return noMailbox(a.Mailbox)
	}
	p := s.Providers[name]
	switch {
	case p == nil:
		return fmt.Errorf("the provider %s of the domain %s is not configured: add a table [provider.%s]", printable.Quote(name), printable.Quote(domain), name)
	case p.Flow.NeedsPerson():
		return fmt.Errorf("%w; the provider %s cannot open mailboxes of %s by itself, since its flow needs a person", noMailbox(a.Mailbox), printable.Quote(name), printable.Quote(domain))
	}
	if err := address.Check(a.Mailbox); err != nil {
		return err
	}
	a.Provider, a.Created = name, now.UTC().Round(0)
	return nil
}
