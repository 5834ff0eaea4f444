package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"authferry/internal/atomicfile"
	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/internal/importer"
	"authferry/internal/secret"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// mover brings what was imported under our roof.
type mover struct {
	cmd    *cobra.Command
	config *config.Config
	vault  *tokens.Vault
	flags  importFlags
	*imported
	entries []importer.Entry // providers that the configuration lacks
}

// move prints the providers that are not configured yet, and keeps the grants
// of those that are. What goes wrong with one mailbox keeps no other back.
func (m *mover) move(ctx context.Context, format string) error {
	providers := make([]*oauth.Provider, len(m.accounts)) // nil: not configured yet, or no use
	var problems []error
	for i, a := range m.accounts {
		p, err := m.providerOf(&a, format)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", a.Mailbox, err))
		} else if providers[i] = p; p == nil {
			m.addEntry(a.Provider)
		}
	}
	for _, d := range m.domains {
		if d.Problem != "" {
			problems = append(problems, fmt.Errorf("@%s: %s", d.Name, d.Problem))
		} else if m.configured(&d.Provider) == nil {
			m.addEntry(d.Provider)
		}
	}
	if len(m.entries) > 0 {
		if err := m.printEntries(); err != nil {
			return err
		}
	}
	if m.flags.printConfig {
		return errors.Join(problems...)
	}
	for i, a := range m.accounts {
		if providers[i] == nil {
			continue
		}
		err := m.take(ctx, a, providers[i], format)
		if ctx.Err() != nil {
			return errors.Join(append(problems, fmt.Errorf("interrupted; what was kept so far stays: %w", ctx.Err()))...)
		}
		if err != nil {
			problems = append(problems, err)
		}
	}
	if len(m.entries) > 0 {
		problems = append(problems, hint.New(errors.New("not all OAuth clients are in the configuration yet"),
			"add the lines on standard output to %s, and run the same command again", m.config.File))
	}
	return errors.Join(problems...)
}

// providerOf finds the configured provider of an account; nil if there is none
// and its file tells enough to add one.
func (m *mover) providerOf(a *importer.Account, format string) (*oauth.Provider, error) {
	if a.Problem != "" {
		return nil, errors.New(a.Problem)
	}
	name := m.flags.provider
	if name == "" && format == "token" {
		name = "gmail"
	}
	if name != "" {
		p := m.config.Settings.Providers[name]
		if p == nil {
			return nil, unknownProvider(m.config, name)
		}
		if id := a.Provider.ClientID; id != "" && id != p.ClientID {
			return nil, hint.Usage(fmt.Errorf("its grant was given to the client %q, and [provider.%s] is the client %q", id, name, p.ClientID),
				"a grant works for its own client only: leave --provider out to be shown what to add to the configuration")
		}
		return p, nil
	}
	if p := m.configured(&a.Provider); p != nil {
		return p, nil
	}
	if a.Provider.ClientID == "" && a.Provider.Flow.NeedsPerson() {
		return nil, hint.Usage(errors.New("the file does not name the OAuth client that the grant was given to"),
			"put that client into [provider.gmail] or another, and name it by --provider")
	}
	return nil, nil
}

func (m *mover) configured(p *importer.Provider) *oauth.Provider {
	for _, name := range slices.Sorted(maps.Keys(m.config.Settings.Providers)) {
		if q := m.config.Settings.Providers[name]; p.Is(q) {
			return q
		}
	}
	return nil
}

// addEntry notes a provider that the configuration lacks.
func (m *mover) addEntry(p importer.Provider) {
	if m.entryOf(&p) != nil {
		return
	}
	e := importer.Entry{Provider: p}
	e.Name, e.Like = p.Name(func(name string) bool {
		return m.config.Settings.Providers[name] != nil ||
			slices.ContainsFunc(m.entries, func(e importer.Entry) bool { return e.Name == name })
	})
	m.entries = append(m.entries, e)
}

func (m *mover) entryOf(p *importer.Provider) *importer.Entry {
	for i := range m.entries {
		if m.entries[i].Provider.Same(p) {
			return &m.entries[i]
		}
	}
	return nil
}

// printEntries prints what is to be added to the configuration. Secrets go into
// files, for their owner alone, unless they were asked for.
func (m *mover) printEntries() error {
	out := m.cmd.OutOrStdout()
	if m.listen != "" {
		fmt.Fprintf(out, "%s\n", m.listen)
	}
	for i := range m.entries {
		e := &m.entries[i]
		if !m.flags.printConfig {
			if err := m.writeSecrets(e); err != nil {
				return err
			}
		}
		fmt.Fprintf(out, "%s\n", e.TOML())
	}
	for _, d := range m.domains {
		name := ""
		if p := m.configured(&d.Provider); p != nil {
			name = p.Name
		} else if e := m.entryOf(&d.Provider); e != nil {
			name = e.Name
		}
		if text := d.TOML(name); text != "" {
			fmt.Fprintf(out, "%s\n", text)
		}
	}
	return nil
}

// writeSecrets puts the secrets of a provider beside the mailboxes: there,
// whoever runs serve can read them.
func (m *mover) writeSecrets(e *importer.Entry) (err error) {
	if s := e.Provider.ClientSecret; !s.Empty() {
		e.SecretFile, err = m.writeSecret("client-"+e.Name+".secret", s)
	}
	if s := e.Provider.ServiceAccountKey; err == nil && !s.Empty() {
		e.KeyFile, err = m.writeSecret("service-account-"+e.Name+".json", s)
	}
	return err
}

// writeSecret puts a secret into a file, and returns the path that it has for
// others: a command of root's has gone into the directory, whose path its owner
// may not be able to walk.
func (m *mover) writeSecret(name string, secret secret.String) (path string, err error) {
	path, here := filepath.Join(m.config.StatePath, name), filepath.Join(m.config.StateDir, name)
	content := secret.Reveal() + "\n"
	old, err := os.ReadFile(here)
	switch {
	case err == nil && string(old) == content:
		return path, nil
	case err == nil:
		return "", fmt.Errorf("%s is there already with another secret in it: remove it if nothing in the configuration names it, and run this again", path)
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("looking whether a secret is there already: %w", err)
	}
	if err := atomicfile.Write(here, []byte(content), 0o600); err != nil {
		return "", hint.New(fmt.Errorf("putting a client's secret into the store: %w", err), "--print-config prints it instead")
	}
	return path, nil
}
