package check

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"authferry/internal/secret"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

const (
	// dialTime bounds a lookup, a connection, or a handshake.
	dialTime = 10 * time.Second
	// loginTime bounds what follows on one connection.
	loginTime = 30 * time.Second
	// mailboxesAtOnce keeps within what providers take from one client.
	mailboxesAtOnce = 8
)

// Subject is what to check.
type Subject struct {
	Config    string // where the configuration was read from, for people
	Store     string // the directory of a file store; empty: the store is none
	Seal      string // as for [tokens.LoadSeal]
	Providers map[string]*oauth.Provider
	Hostname  string // how to introduce ourselves

	// Open opens the store. It is called once, and not where a file store has
	// yet to be made. Closing the vault is the caller's.
	Open func() (*tokens.Vault, error)

	Mailboxes []string // empty: all
	SendTo    string   // where to send a mail; empty: nowhere

	// NoMailboxes leaves the mailboxes out: nothing is refreshed and nobody
	// logged in.
	NoMailboxes bool

	// lookup is for tests: the resolver.
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Run checks a subject and reports the steps, one call at a time, as they are
// done: those of the installation, of the providers, of the mailboxes. It
// tells whether none failed.
func Run(ctx context.Context, s Subject, report func(Step)) (healthy bool) {
	healthy = true
	r := &run{Subject: s, report: func(step Step) {
		healthy = healthy && step.Result != Fail
		report(step)
	}}
	all := &list{report: r.report}
	all.step(ctx, "configuration", r.configuration)
	all.step(ctx, "seal key", r.sealKey)
	all.step(ctx, "store", func() finding { return r.openStore(ctx) })
	if !s.NoMailboxes {
		r.find(ctx)
	}
	r.checkProviders(ctx)
	r.checkMailboxes(ctx)
	if len(r.patients) == 0 && !s.NoMailboxes {
		all.step(ctx, "mailbox", r.noMailbox)
	}
	return healthy && ctx.Err() == nil
}

// run is a check under way.
type run struct {
	Subject
	report   func(Step)
	vault    *tokens.Vault // nil: the store could not be opened, or is not there yet
	unmade   bool          // the store is not there yet
	patients []*patient

	mu     sync.Mutex
	broken map[string]map[string]string // by provider and protocol ("token", too): the step that failed
}

// find looks the mailboxes up.
func (r *run) find(ctx context.Context) {
	names := r.Mailboxes
	if len(names) == 0 && r.vault != nil {
		names, _ = r.vault.Mailboxes(ctx) // the step "store" has told of an error
	}
	seen := map[string]bool{}
	for _, name := range names {
		p := &patient{run: r, mailbox: name}
		if r.vault != nil {
			p.mailbox, _ = r.vault.Canonical(name)
			p.account, p.err = r.vault.Account(ctx, name)
		}
		if p.account != nil {
			p.provider = r.Providers[p.account.Provider]
		}
		if !seen[p.mailbox] {
			seen[p.mailbox] = true
			r.patients = append(r.patients, p)
		}
	}
}

// checkProviders checks the providers that the mailboxes need; without any,
// those that are configured.
func (r *run) checkProviders(ctx context.Context) {
	needed := map[string]*oauth.Provider{}
	for _, p := range r.patients {
		if p.provider != nil {
			needed[p.provider.Name] = p.provider
		}
	}
	if len(needed) == 0 {
		needed = r.Providers
	}
	r.broken = map[string]map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(needed)) {
		r.broken[name] = map[string]string{}
	}
	var tasks []func(func(Step))
	for _, name := range slices.Sorted(maps.Keys(needed)) {
		for _, look := range (&place{run: r, provider: needed[name]}).looks() {
			tasks = append(tasks, func(report func(Step)) {
				look(ctx, &list{provider: name, report: report, secrets: told(needed[name])})
			})
		}
	}
	inOrder(r.report, len(tasks), tasks...)
}

// told are the secrets of a provider's configuration.
func told(p *oauth.Provider) secrets {
	s := secrets(nil).with(p.ClientSecret)
	if p.Proxy != nil {
		password, _ := p.Proxy.User.Password()
		s = s.with(secret.String(password))
	}
	return s
}

func (r *run) checkMailboxes(ctx context.Context) {
	var tasks []func(func(Step))
	for _, p := range r.patients {
		tasks = append(tasks, func(report func(Step)) {
			l := &list{mailbox: p.mailbox, report: report}
			if p.account != nil {
				l.provider = p.account.Provider
			}
			p.check(ctx, l)
		})
	}
	inOrder(r.report, mailboxesAtOnce, tasks...)
}

// breaks remembers which step of a provider's failed.
func (r *run) breaks(provider, protocol, step string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken[provider][protocol] = step
}

// brokenAt is the step of a provider's that failed, empty if none did.
func (r *run) brokenAt(provider, protocol string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.broken[provider][protocol]
}
