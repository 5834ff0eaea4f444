package tokens

import (
	"fmt"
	"time"

	"authferry/internal/address"
	"authferry/internal/printable"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// enrol makes a mailbox of a domain that a provider opens as a whole. It is for
// administrators to do, never for a login: nobody else vouches that the mailbox
// is there, and whoever may ask for tokens could open any of them.
func (s *Settings) enrol(a *store.Account, now time.Time) error {
	_, domain, _ := address.Split(a.Mailbox)
	name, ok := s.Domains[domain]
	if !ok {
		return fmt.Errorf("%w: %s", store.ErrNoMailbox, printable.Quote(a.Mailbox))
	}
	p := s.Providers[name]
	switch {
	case p == nil:
		return fmt.Errorf("the provider %s of the domain %s is not configured: add a table [provider.%s]", printable.Quote(name), printable.Quote(domain), name)
	case p.Flow.NeedsPerson():
		return fmt.Errorf("%w: %s; the provider %s cannot open mailboxes of %s by itself, since its flow needs a person", store.ErrNoMailbox, printable.Quote(a.Mailbox), printable.Quote(name), printable.Quote(domain))
	}
	if err := address.Check(a.Mailbox); err != nil {
		return err
	}
	a.Provider, a.Created = name, now.UTC().Round(0)
	return nil
}

// enrolled tells a mailbox that lives by its domain's table from one that was
// connected by itself.
func enrolled(a *store.Account) bool { return a.Provider != "" && a.Connected.IsZero() }

// vouches tells whether the configuration still stands for an account. A
// mailbox whose domain was taken out is not to be opened by what is left of it.
func (s *Settings) vouches(a *store.Account) error {
	_, domain, _ := address.Split(a.Mailbox)
	if !enrolled(a) || s.Domains[domain] == a.Provider {
		return nil
	}
	return &oauth.Error{
		Kind: oauth.ErrRefused, Reason: fmt.Sprintf("%s was enrolled by its domain, which the configuration no longer gives to %s", a.Mailbox, a.Provider),
		Advice: oauth.Advice{
			Words: "the mailbox's domain is no longer in authferry's configuration",
			Fix:   fmt.Sprintf("add [domain.%q] with provider = %q again, or run authferry connect %s", domain, a.Provider, a.Mailbox),
		},
	}
}
