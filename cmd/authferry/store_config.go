package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.uber.org/zap"

	"authferry/tokens"
)

// stateDir is where a server keeps what is its own when the mailboxes are in
// PostgreSQL: its certificates, the admin socket.
const stateDir = "/var/lib/authferry"

// readStore reads where the mailboxes are: in a directory, or in PostgreSQL,
// with a directory for the rest.
func (c *config) readStore(t *table) {
	c.outage = t.duration("store_outage", tokens.DefaultOutage)
	state, text := t.text("state", ""), t.text("store", defaultStore)
	if !isPostgres(text) {
		if state != "" {
			t.complain("state", "is for a store in PostgreSQL", "with a directory as the store everything is in that")
		}
		kind, path, _ := strings.Cut(text, ":")
		if kind != "file" || path == "" {
			t.complain("store", "must name a directory or a PostgreSQL database", fmt.Sprintf(`such as %q, or "postgres:env:NAME"`, defaultStore))
		}
		c.store = t.doc.resolve(path)
		return
	}
	c.store = stateDir
	if state != "" {
		c.store = t.doc.resolve(state)
	}
	if c.seal == "" {
		t.complain("seal", "is missing: every server of one database needs the same key",
			`make one with age-keygen and name it as "file:PATH", "env:NAME" or "credential:NAME"`)
	}
	url, err := postgresURL(text, t.doc.resolve)
	if err != nil {
		t.complain("store", err.Error(), "")
		return
	}
	c.postgres = url
	place, warning, err := tokens.DescribePostgres(url)
	if err != nil {
		t.complain("store", err.Error(), `the URL may be in an environment variable or a file: "postgres:env:NAME", "postgres:file:PATH"`)
	}
	c.place = place
	if warning != "" {
		t.doc.warnings = append(t.doc.warnings, warning)
	}
}

func isPostgres(store string) bool {
	kind, _, _ := strings.Cut(store, ":")
	return kind == "postgres" || kind == "postgresql"
}

// postgresURL is the URL that a store in PostgreSQL names: itself, or where it
// is kept, since it has a password in it.
func postgresURL(store string, resolve func(string) string) (tokens.Secret, error) {
	_, rest, _ := strings.Cut(store, ":")
	if strings.HasPrefix(rest, "//") {
		return tokens.Secret(store), nil
	}
	const usage = "say postgres://..., postgres:env:NAME, postgres:file:PATH or postgres:credential:NAME"
	kind, name, _ := strings.Cut(rest, ":")
	if name == "" || !slices.Contains([]string{"env", "file", "credential"}, kind) {
		return "", errors.New("where the address of PostgreSQL is, is not understood: " + usage)
	}
	var path string
	switch kind {
	case "env":
		text, ok := os.LookupEnv(name)
		if !ok {
			return "", fmt.Errorf("the environment variable %s, which is to hold the address of PostgreSQL, is not set", name)
		}
		return tokens.Secret(strings.TrimSpace(text)), nil
	case "file":
		path = resolve(name)
	case "credential":
		borrowCredentials()
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		if dir == "" || name != filepath.Base(name) {
			return "", fmt.Errorf("there is no credential %q: add LoadCredential=%s:PATH to the unit, and run commands as root while the service runs", name, name)
		}
		path = filepath.Join(dir, name)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the address of PostgreSQL: %w", err)
	}
	return tokens.Secret(strings.TrimSpace(string(text))), nil
}

// fileStore is the directory of the mailboxes, "" if they are in none.
func (c *config) fileStore() string {
	if !c.postgres.Empty() {
		return ""
	}
	return c.store
}

// storePlace says for people where the mailboxes are.
func (c *config) storePlace() string {
	if !c.postgres.Empty() {
		return c.place
	}
	return "file:" + c.store
}

// openStore opens the store of a configuration.
func openStore(c *config, seal *tokens.Seal, log *zap.Logger) (tokens.Store, error) {
	if c.postgres.Empty() {
		store, err := tokens.OpenFileStore(c.store, seal)
		if err != nil {
			return nil, failed(err, storeHint)
		}
		return store, nil
	}
	store, err := tokens.OpenPostgresStore(context.Background(), tokens.PostgresOptions{URL: c.postgres, Seal: seal, Outage: c.outage, Log: log})
	if err != nil {
		return nil, failed(err, "store in the configuration says which database it is; `psql` with the same URL should connect from here")
	}
	return store, nil
}

// makeState makes the directory for what is this server's own.
func makeState(c *config) error {
	if c.postgres.Empty() {
		return nil // opening the store does
	}
	if err := os.MkdirAll(c.store, 0o700); err != nil {
		return failed(fmt.Errorf("making the state directory: %w", err), `state = "DIRECTORY" in the configuration puts it elsewhere`)
	}
	return nil
}
