package check

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"authferry/tokens"
	"authferry/tokens/oauth"
)

const (
	// dialTime bounds a lookup, a connection, or a handshake.
	dialTime = 10 * time.Second
	// loginTime bounds what follows on one connection.
	loginTime = 30 * time.Second
	// mailboxesAtOnce is within what providers accept from one client.
	mailboxesAtOnce = 8
)

// Subject is what to check.
type Subject struct {
	Config    string // where the configuration was read from, for people
	Store     string // the directory of a file store; empty: another kind of store
	Seal      string // as for [store.LoadSeal]
	Providers map[string]*oauth.Provider
	Hostname  string // for EHLO

	// Open opens the store. It is called once, and not for a file store that does not
	// exist yet. The caller closes the vault.
	Open func() (*tokens.Vault, error)

	Mailboxes []string // empty: all
	SendTo    string   // where to send a mail; empty: nowhere

	// NoMailboxes leaves the mailboxes out: no token is refreshed, and there is no
	// login.
	NoMailboxes bool

	// lookup is for tests: the resolver.
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Run checks a subject and reports each step when it is done, one call at a time, in
// the order of the package's documentation. It reports whether no step failed.
func Run(ctx context.Context, s Subject, report func(Step)) (healthy bool) {
	healthy = true
	r := &checkRun{subject: s, report: func(step Step) {
		healthy = healthy && step.Result != Fail
		report(step)
	}}
	installation := &reporter{report: r.report}
	installation.step(ctx, "configuration", func() finding { return passed("%s", s.Config) })
	installation.step(ctx, "seal key", func() finding { return checkSealKey(s.Seal, s.Store) })
	installation.step(ctx, "store", func() (f finding) {
		r.vault, r.storeMissing, f = openStore(ctx, s)
		return f
	})
	if !s.NoMailboxes {
		r.findMailboxes(ctx)
	}
	r.checkProviders(ctx)
	r.checkMailboxes(ctx)
	if len(r.mailboxes) == 0 && !s.NoMailboxes {
		installation.step(ctx, "mailbox", r.noMailbox)
	}
	return healthy && ctx.Err() == nil
}

// checkRun is one run of a check.
type checkRun struct {
	subject      Subject
	report       func(Step)
	vault        *tokens.Vault // nil: the store could not be opened, or does not exist
	storeMissing bool          // the store does not exist yet
	mailboxes    []*mailboxCheck

	mu         sync.Mutex
	failedStep map[server]string
}

// server is one of a provider's servers: that of a mail protocol, or "token".
type server struct{ provider, protocol string }

// findMailboxes reads the accounts of the mailboxes to check.
func (r *checkRun) findMailboxes(ctx context.Context) {
	names := r.subject.Mailboxes
	if len(names) == 0 && r.vault != nil {
		names, _ = r.vault.Mailboxes(ctx) // the step "store" has reported an error
	}
	seen := map[string]bool{}
	for _, name := range names {
		m := &mailboxCheck{run: r, mailbox: name}
		if r.vault != nil {
			m.mailbox, _ = r.vault.Canonical(name)
			m.account, m.err = r.vault.Account(ctx, name)
		}
		if m.account != nil {
			m.provider = r.subject.Providers[m.account.Provider]
		}
		if !seen[m.mailbox] {
			seen[m.mailbox] = true
			r.mailboxes = append(r.mailboxes, m)
		}
	}
}

// noMailbox is the step "mailbox" where there is none to check.
func (r *checkRun) noMailbox() finding {
	if r.vault == nil && !r.storeMissing {
		return skipped(storeNotOpen)
	}
	if len(r.subject.Providers) == 0 {
		return skipped("next: write a [provider.NAME] with your OAuth client into %s, then authferry connect you@gmail.com", r.subject.Config)
	}
	return skipped("no mailbox is connected yet; next: authferry connect you@gmail.com")
}

// checkProviders checks the providers of the mailboxes, or all that are configured if
// no mailbox has one.
func (r *checkRun) checkProviders(ctx context.Context) {
	providers := map[string]*oauth.Provider{}
	for _, m := range r.mailboxes {
		if m.provider != nil {
			providers[m.provider.Name] = m.provider
		}
	}
	if len(providers) == 0 {
		providers = r.subject.Providers
	}
	var tasks []func(func(Step))
	for _, name := range slices.Sorted(maps.Keys(providers)) {
		p := providers[name]
		for _, probe := range (&providerCheck{run: r, provider: p}).probes() {
			tasks = append(tasks, func(report func(Step)) {
				probe(ctx, &reporter{provider: name, report: report, secrets: providerSecrets(p)})
			})
		}
	}
	inOrder(r.report, len(tasks), tasks...)
}

func (r *checkRun) checkMailboxes(ctx context.Context) {
	var tasks []func(func(Step))
	for _, m := range r.mailboxes {
		tasks = append(tasks, func(report func(Step)) {
			out := &reporter{mailbox: m.mailbox, report: report}
			if m.account != nil {
				out.provider = m.account.Provider
			}
			m.check(ctx, out)
		})
	}
	inOrder(r.report, mailboxesAtOnce, tasks...)
}

// setFailed records the step of a provider's server that failed.
func (r *checkRun) setFailed(s server, step string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failedStep == nil {
		r.failedStep = map[server]string{}
	}
	r.failedStep[s] = step
}

// failedAt returns the step of a provider's server that failed; empty: none.
func (r *checkRun) failedAt(s server) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failedStep[s]
}
