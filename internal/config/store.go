package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"authferry/internal/config/document"
	"authferry/internal/secret"
	"authferry/tokens/oauth/tokencommand"
	"authferry/tokens/store"
)

// stateDir is the default directory of a server's state: the mailboxes, or, if
// they are in PostgreSQL, its certificates and the admin socket.
const stateDir = "/var/lib/authferry"

// defaultState returns stateDir for a service. If the configuration lies in a
// person's directory, ~/.config or $XDG_CONFIG_HOME, authferry is a desktop
// program, and its state belongs beside that of the others. The location of the
// file decides, so that commands and server agree whichever user runs them.
func defaultState(file string) string {
	dir := filepath.Dir(filepath.Dir(file)) // of all programs' configurations
	switch {
	case runtime.GOOS == "windows":
		return filepath.Join(filepath.Dir(file), "state")
	case filepath.Base(filepath.Dir(file)) != "authferry":
	case os.Getenv("XDG_STATE_HOME") != "" && dir == userConfigDir():
		return filepath.Join(os.Getenv("XDG_STATE_HOME"), "authferry")
	case filepath.Base(dir) == ".config":
		return filepath.Join(filepath.Dir(dir), ".local", "state", "authferry")
	}
	return stateDir
}

// ReadStore reads where the mailboxes are: in a directory, or in PostgreSQL
// with a directory for the rest.
func (c *Config) ReadStore(t *document.Table) {
	c.Outage = t.Duration("store_outage", store.DefaultOutage)
	otherwise := defaultState(t.Document())
	state, text := t.Text("state", ""), t.Text("store", "file:"+otherwise)
	if !IsPostgres(text) {
		if state != "" {
			t.Complain("state", "is for a store in PostgreSQL", "a store in a directory holds everything itself")
		}
		kind, path, _ := strings.Cut(text, ":")
		if kind != "file" || path == "" {
			t.Complain("store", "must name a directory or a PostgreSQL database", fmt.Sprintf(`such as "file:%s", or "postgres:env:NAME"`, stateDir))
		}
		c.StateDir = t.Resolve(path)
		return
	}
	c.StateDir = otherwise
	if state != "" {
		c.StateDir = t.Resolve(state)
	}
	if c.Seal == "" {
		t.Complain("seal", "is missing: every server of one database needs the same key",
			`make one with age-keygen and name it as "file:PATH", "env:NAME" or "credential:NAME"`)
	}
	url, err := PostgresURL(text, t.Resolve)
	if err != nil {
		t.Complain("store", err.Error(), "")
		return
	}
	c.Postgres = url
	place, warning, err := store.DescribePostgres(url)
	if err != nil {
		t.Complain("store", err.Error(), `the URL may be in an environment variable or a file: "postgres:env:NAME", "postgres:file:PATH"`)
	}
	c.PostgresPlace = place
	if warning != "" {
		t.Warn(warning)
	}
}

func IsPostgres(store string) bool {
	kind, _, _ := strings.Cut(store, ":")
	return kind == "postgres" || kind == "postgresql"
}

// PostgresURL returns the URL of a store in PostgreSQL: the value itself, or
// what it refers to, since it holds a password.
func PostgresURL(store string, resolve func(string) string) (secret.String, error) {
	_, rest, _ := strings.Cut(store, ":")
	if strings.HasPrefix(rest, "//") {
		return secret.String(store), nil
	}
	const usage = "say postgres://..., postgres:env:NAME, postgres:file:PATH or postgres:credential:NAME"
	kind, name, _ := strings.Cut(rest, ":")
	if name == "" || !slices.Contains([]string{"env", "file", "credential"}, kind) {
		return "", errors.New("the location of the address of PostgreSQL is invalid: " + usage)
	}
	var path string
	switch kind {
	case "env":
		tokencommand.HideVariables(name)
		text, ok := os.LookupEnv(name)
		if !ok {
			return "", fmt.Errorf("the environment variable %s, which must hold the address of PostgreSQL, is not set", name)
		}
		return secret.String(strings.TrimSpace(text)), nil
	case "file":
		path = resolve(name)
	case "credential":
		BorrowCredentials()
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
	return secret.String(strings.TrimSpace(string(text))), nil
}

// FileStore returns the directory of the mailboxes, "" if they are in
// PostgreSQL.
func (c *Config) FileStore() string {
	if !c.Postgres.Empty() {
		return ""
	}
	return c.StateDir
}

// StorePlace describes for people where the mailboxes are.
func (c *Config) StorePlace() string {
	if !c.Postgres.Empty() {
		return c.PostgresPlace
	}
	return "file:" + c.StateDir
}

// serviceCredentials is where systemd keeps the credentials of the service
// while it runs; root can read them.
const serviceCredentials = "/run/credentials/authferry.service"

// BorrowCredentials makes a command use the credentials of the service, unless
// it has its own.
func BorrowCredentials() {
	if _, err := os.Stat(serviceCredentials); err == nil && os.Getenv("CREDENTIALS_DIRECTORY") == "" {
		os.Setenv("CREDENTIALS_DIRECTORY", serviceCredentials)
	}
}
