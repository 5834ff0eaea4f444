package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"authferry/internal/address"
	"authferry/internal/atomicfile"
	"authferry/internal/hint"
	"authferry/internal/onboard"
	"authferry/internal/secret"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// Import connects the mailboxes that were found in another program's files.
type Import struct {
	Found  *Found
	Format string // a local password that is kept gets this name

	Vault      *tokens.Vault
	Providers  map[string]*oauth.Provider // that are configured, by name
	Provider   *oauth.Provider            // of every account; nil: that of each account's client
	ConfigFile string                     // that lacks providers, for messages
	// Dir is where client secrets are written. Path is the name that other
	// processes know it by: root's command may have changed into a directory
	// whose path its owner cannot traverse.
	Dir, Path string

	Password    secret.String // becomes a local password of every mailbox; empty: none does
	NoCheck     bool          // keep grants without trying them
	PrintConfig bool          // print the missing providers, secrets included, and change nothing

	Out       io.Writer // the providers to add to the configuration
	Messages  io.Writer
	Connected func(*onboard.Result) // is called for every mailbox that was connected

	entries []entry // providers that the configuration lacks
}

// Run prints the providers that are not configured yet, and keeps the grants of
// those that are. A problem with one mailbox does not stop the others.
func (m *Import) Run(ctx context.Context) error {
	providers, problems := m.match()
	if len(m.entries) > 0 {
		if err := m.printEntries(); err != nil {
			return err
		}
	}
	if m.PrintConfig {
		return errors.Join(problems...)
	}
	for i, a := range m.Found.Accounts {
		if providers[i] == nil {
			continue
		}
		err := m.connect(ctx, a, providers[i])
		if ctx.Err() != nil {
			return errors.Join(append(problems, fmt.Errorf("interrupted; the mailboxes connected so far stay connected: %w", ctx.Err()))...)
		}
		if err != nil {
			problems = append(problems, err)
		}
	}
	if len(m.entries) > 0 {
		problems = append(problems, hint.New(errors.New("the configuration lacks some of the OAuth clients"),
			"add the lines on standard output to %s, and run the same command again", m.ConfigFile))
	}
	return errors.Join(problems...)
}

// match finds the configured provider of each account; nil where there is none,
// and then it notes an entry, or where the account has a problem.
func (m *Import) match() (providers []*oauth.Provider, problems []error) {
	providers = make([]*oauth.Provider, len(m.Found.Accounts))
	for i, a := range m.Found.Accounts {
		p, err := m.providerOf(&a)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", a.Mailbox, err))
		} else if providers[i] = p; p == nil {
			m.addEntry(a.Provider)
		}
	}
	for _, d := range m.Found.Domains {
		if d.Problem != "" {
			problems = append(problems, fmt.Errorf("@%s: %s", d.Name, d.Problem))
		} else if m.configured(&d.Provider) == nil {
			m.addEntry(d.Provider)
		}
	}
	return providers, problems
}

// providerOf finds the configured provider of an account. It returns nil if there
// is none and the file says enough to add one.
func (m *Import) providerOf(a *Account) (*oauth.Provider, error) {
	if a.Problem != "" {
		return nil, errors.New(a.Problem)
	}
	if p := m.Provider; p != nil {
		if id := a.Provider.ClientID; id != "" && id != p.ClientID {
			return nil, hint.Usage(fmt.Errorf("its grant belongs to the client %q, but the client of [provider.%s] is %q", id, p.Name, p.ClientID),
				"a grant works only with its own client: omit --provider to print what to add to the configuration")
		}
		return p, nil
	}
	if p := m.configured(&a.Provider); p != nil {
		return p, nil
	}
	if a.Provider.ClientID == "" && a.Provider.Flow.NeedsPerson() {
		return nil, hint.Usage(errors.New("the file does not name the OAuth client that the grant belongs to"),
			"add that client to [provider.gmail] or another provider, and name it with --provider")
	}
	return nil, nil
}

func (m *Import) configured(p *Provider) *oauth.Provider {
	for _, name := range slices.Sorted(maps.Keys(m.Providers)) {
		if q := m.Providers[name]; p.is(q) {
			return q
		}
	}
	return nil
}

// addEntry notes a provider that the configuration lacks.
func (m *Import) addEntry(p Provider) {
	if m.entryOf(&p) != nil {
		return
	}
	e := entry{Provider: p}
	e.Name, e.Like = p.tableName(func(name string) bool {
		return m.Providers[name] != nil || slices.ContainsFunc(m.entries, func(e entry) bool { return e.Name == name })
	})
	m.entries = append(m.entries, e)
}

func (m *Import) entryOf(p *Provider) *entry {
	for i := range m.entries {
		if m.entries[i].Provider.same(p) {
			return &m.entries[i]
		}
	}
	return nil
}

// printEntries prints what to add to the configuration. Secrets go into files that
// only their owner can read, unless PrintConfig asks for them.
func (m *Import) printEntries() error {
	if m.Found.Listen != "" {
		fmt.Fprintf(m.Out, "%s\n", m.Found.Listen)
	}
	for i := range m.entries {
		e := &m.entries[i]
		if !m.PrintConfig {
			if err := m.writeSecrets(e); err != nil {
				return err
			}
		}
		fmt.Fprintf(m.Out, "%s\n", e.toml())
	}
	for _, d := range m.Found.Domains {
		name := ""
		if p := m.configured(&d.Provider); p != nil {
			name = p.Name
		} else if e := m.entryOf(&d.Provider); e != nil {
			name = e.Name
		}
		if text := d.toml(name); text != "" {
			fmt.Fprintf(m.Out, "%s\n", text)
		}
	}
	return nil
}

// writeSecrets puts the secrets of a provider beside the mailboxes, where the user
// that serves can read them.
func (m *Import) writeSecrets(e *entry) (err error) {
	if s := e.Provider.ClientSecret; !s.Empty() {
		e.SecretFile, err = m.writeSecret("client-"+e.Name+".secret", s)
	}
	if s := e.Provider.ServiceAccountKey; err == nil && !s.Empty() {
		e.KeyFile, err = m.writeSecret("service-account-"+e.Name+".json", s)
	}
	return err
}

func (m *Import) writeSecret(name string, secret secret.String) (path string, err error) {
	path, here := filepath.Join(m.Path, name), filepath.Join(m.Dir, name)
	content := secret.Reveal() + "\n"
	old, err := os.ReadFile(here)
	switch {
	case err == nil && string(old) == content:
		return path, nil
	case err == nil:
		return "", hint.New(fmt.Errorf("writing a client's secret: %s holds another secret", path), "remove the file if nothing in the configuration names it, and run this again")
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("looking for a client's secret: %w", err)
	}
	if err := atomicfile.Write(here, []byte(content), 0o600); err != nil {
		return "", hint.New(fmt.Errorf("writing a client's secret: %w", err), "--print-config prints it instead")
	}
	return path, nil
}

// connect keeps the grant of one mailbox, and the password that mail programs use.
func (m *Import) connect(ctx context.Context, a Account, p *oauth.Provider) error {
	mailbox, _ := m.Vault.Canonical(a.Mailbox)
	if err := address.Check(mailbox); err != nil {
		return hint.Usage(err, "write the whole address, such as you@gmail.com")
	}
	err := m.keepGrant(ctx, mailbox, a.Refresh, p)
	if err != nil {
		return fmt.Errorf("%s: %w", mailbox, err)
	}
	if m.Password.Empty() {
		return nil
	}
	return m.keepPassword(ctx, mailbox)
}

func (m *Import) keepGrant(ctx context.Context, mailbox string, refresh secret.String, p *oauth.Provider) error {
	if m.NoCheck {
		return m.keepUntried(ctx, mailbox, refresh, p)
	}
	g := onboard.Grant{Mailbox: mailbox, Provider: p}
	again := fmt.Sprintf("authferry connect %s --provider %s", mailbox, p.Name)
	if p.Flow.NeedsPerson() {
		t, err := p.Redeem(ctx, refresh)
		switch {
		case errors.Is(err, oauth.ErrNeedsConsent):
			return hint.New(fmt.Errorf("the provider no longer accepts this grant: %w", err), "sign in again: %s", again)
		case errors.Is(err, oauth.ErrRefused):
			return fmt.Errorf("trying the grant: %w", err)
		case err != nil:
			return hint.New(fmt.Errorf("trying the grant: %w", err), "nothing was changed: try again, or add --no-check to keep the grant without trying it")
		}
		if g.Token, g.Renewed = t, t.Refresh != refresh; g.Renewed {
			fmt.Fprintf(m.Messages, "authferry: warning: %s renewed the grant of %s; the program that it comes from may have to sign in again\n", p.Name, mailbox)
		}
	}
	done, err := onboard.Connect(ctx, m.Vault, g, onboard.Options{KeepUnproven: true})
	if err == nil {
		m.Connected(done)
		return nil
	}
	return explain(err, again)
}

// explain adds what to do about a grant that does not open its mailbox.
func explain(err error, again string) error {
	e, ok := errors.AsType[*onboard.Error](err)
	if !ok {
		return err
	}
	if e.Kept {
		return hint.New(fmt.Errorf("the grant is kept, because the one in the file may no longer be valid, but it does not open the mailbox: %w", e.Err),
			"check that the account may use %s, or sign in again: %s", e.Provider.FirstProtocol().Upper(), again)
	}
	switch e.Cause {
	case onboard.NoToken, onboard.NotOpened:
		fix, page := e.Advice()
		return hint.New(err, "%s", strings.TrimSuffix(fix+": "+page, ": "))
	case onboard.WrongAccount, onboard.Refused, onboard.ProtocolOff, onboard.NotDelegated:
		return hint.New(err, "nothing was changed: check that the file is that of %s, or sign in again: %s", e.Mailbox, again)
	}
	return hint.New(err, "nothing was changed: sign in again: %s", again)
}

// keepUntried keeps a grant as it is. It does not replace a live grant, which may
// be the better one.
func (m *Import) keepUntried(ctx context.Context, mailbox string, refresh secret.String, p *oauth.Provider) error {
	a, err := m.Vault.Account(ctx, mailbox)
	if err != nil && !errors.Is(err, store.ErrNoMailbox) {
		return err
	}
	if err == nil && a.Provider != "" && a.Dead == nil {
		return hint.Usage(errors.New("the mailbox already has a grant"), "omit --no-check, so that the new grant is tried before it replaces the other")
	}
	c := tokens.Connection{Mailbox: mailbox, Provider: p.Name}
	if p.Flow.NeedsPerson() {
		c.Token, c.Untried = &oauth.Token{Refresh: refresh}, true
	}
	if err := m.Vault.Connect(ctx, c); err != nil {
		return err
	}
	fmt.Fprintf(m.Messages, "Connected %s untried; the first login shows whether the grant works.\n", mailbox)
	return nil
}

// keepPassword makes the password of the other program a local password.
func (m *Import) keepPassword(ctx context.Context, mailbox string) error {
	a, err := m.Vault.Account(ctx, mailbox)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(a.Passwords, func(p store.Password) bool { return p.Name == m.Format }) {
		fmt.Fprintf(m.Messages, "%s already has a password named %q, which was not changed.\n", mailbox, m.Format)
		return nil
	}
	if _, err := m.Vault.AddPassword(ctx, mailbox, tokens.PasswordSpec{Name: m.Format, Preset: m.Password}); err != nil {
		return hint.New(fmt.Errorf("the grant of %s is kept, the password of its mail programs is not: %w", mailbox, err),
			"in the other program the password only decrypted a file; here it opens the mailbox, so it must be hard to guess. Create another one: authferry password add %s --name \"My program\"", mailbox)
	}
	fmt.Fprintf(m.Messages, "Mail programs log in to %s with the password they have.\n", mailbox)
	return nil
}
