package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"

	"authferry/alert"
	"authferry/internal/address"
	"authferry/proxy"
	"authferry/tokens"
	"authferry/web"
)

// config is a configuration file that has passed every check.
type config struct {
	file     string
	listen   []listenURL
	store    string        // the directory: of the mailboxes, or of this server's own state
	storeDir string        // the same as a whole path, for people, where root has gone there; see openVaultAsOwner
	postgres tokens.Secret // where the mailboxes are instead, a URL
	place    string        // the same without the password
	outage   time.Duration // how long logins go on without it
	seal     string        // for tokens.LoadSeal
	admin    string        // the socket; empty: none
	monitor  string        // where monitors ask, host:port; empty: nowhere
	hostname string
	drain    time.Duration
	tls      tlsConfig
	settings tokens.Settings
	gate     proxy.GateLimits
	limits   proxy.Limits
	log      logConfig
	alert    alert.Config
	audit    int64 // how big the record of logins may grow; 0: none
	console  consoleConfig
	keys     []web.Setting // all of it, for people
	warnings []string

	nameMailboxes bool // in metrics
}

// logConfig says what is logged and how.
type logConfig struct {
	level  zapcore.Level
	format string // "auto", "console" or "json"
}

const systemConfig = "/etc/authferry/config.toml"

// configPath is where the configuration is: what --config said, or the first
// of the usual places where there is one.
func configPath(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if path := os.Getenv("AUTHFERRY_CONFIG"); path != "" {
		return path, nil
	}
	environment := readEnvironment(os.Environ())
	places := []string{systemConfig}
	if runtime.GOOS == "windows" {
		places = []string{filepath.Join(programData(), "config.toml")}
	}
	if dir := userConfigDir(); dir != "" {
		places = append(places, filepath.Join(dir, "authferry", "config.toml"))
	}
	for _, path := range places {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
	}
	if environment.configures() {
		return inEnvironment, nil
	}
	return "", misused(fmt.Errorf("no configuration: there is no %s", strings.Join(places, ", and no ")),
		"try the whole thing without one by `authferry demo`; to begin for real, write your OAuth client into a copy of config.example.toml and name it with --config")
}

// userConfigDir is $XDG_CONFIG_HOME on every system, unlike os.UserConfigDir:
// the documentation names one place.
func userConfigDir() string {
	if dir := os.Getenv("XDG_CONFIG_HOME"); dir != "" {
		return dir
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".config")
}

// loadConfig reads and checks a configuration file, or the environment alone
// where the file is called [inEnvironment]. The error, if the file can
// be read at all, holds every complaint about it.
func loadConfig(file string) (*config, error) {
	doc, root, err := openDocument(file)
	if err != nil {
		return nil, err
	}
	c := readConfig(root)
	c.file = doc.file
	doc.environmentDone()
	if err := doc.err(); err != nil {
		return nil, err
	}
	c.warnings, c.keys = doc.warnings, doc.keys
	if w := exposedSecret(doc.file, root); w != "" {
		c.warnings = append(c.warnings, w)
	}
	return c, nil
}

// openDocument reads a configuration file as far as it can be read at all, with
// the environment laid over it.
func openDocument(file string) (*document, *table, error) {
	environment := readEnvironment(os.Environ())
	if file == inEnvironment {
		doc, root := parseDocument(file, nil)
		doc.environment = environment
		return doc, root, nil
	}
	file, err := filepath.Abs(file)
	if err != nil {
		return nil, nil, err
	}
	source, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, misused(fmt.Errorf("there is no configuration file %s", file),
			"try without one by `authferry demo`, or begin with a copy of config.example.toml")
	}
	if err != nil {
		return nil, nil, misused(fmt.Errorf("reading the configuration: %w", err), "run this as the user that authferry serves as")
	}
	doc, root := parseDocument(file, source)
	if root == nil {
		return nil, nil, doc.err()
	}
	doc.environment = environment
	return doc, root, nil
}

// readConfig is the shape of the file, and its defaults.
func readConfig(t *table) *config {
	c := &config{
		listen:   readListeners(t),
		seal:     readSeal(t),
		monitor:  readMonitor(t),
		hostname: readHostname(t),
		drain:    t.duration("drain", 30*time.Second),
		gate:     readGate(t.table("gate")),
		limits:   readLimits(t.table("limits")),
		log:      readLog(t.table("log")),
		alert:    readAlert(t.table("alert")),
		audit:    readAudit(t.table("audit")),
	}
	c.readStore(t)
	c.admin = readAdmin(t, c.store)
	c.nameMailboxes = t.flag("monitor_mailboxes", true)
	c.tls = readTLS(t.table("tls"), c.hostname)
	providers := t.table("provider")
	c.settings.Providers = readProviders(providers)
	c.settings.Domains = readDomains(t.table("domain"), c.settings.Providers, providers)
	c.settings.Aliases = readAliases(t.table("alias"))
	c.console = readConsole(t, c.hostname)
	t.done()
	return c
}

func readSeal(t *table) string {
	text := t.text("seal", "")
	if place := sealInEnvironment(t, text); place != "" {
		return place
	}
	kind, name, _ := strings.Cut(text, ":")
	switch {
	case text == "":
	case name == "" || !slices.Contains([]string{"file", "env", "credential"}, kind):
		t.complain("seal", "must say where the key is", `"file:PATH", "env:NAME" or "credential:NAME"; "" keeps one in the store directory`)
	case kind == "file":
		return "file:" + t.doc.resolve(name)
	case kind == "env":
		t.doc.environment.use(name)
		tokens.HideFromCommands(name)
	}
	return text
}

func readHostname(t *table) string {
	if name := t.text("hostname", ""); name != "" {
		if strings.ContainsAny(name, " /:\t\r\n") {
			t.complain("hostname", "must be a host name", `such as "mail.example.org"`)
		}
		return name
	}
	if name, err := os.Hostname(); err == nil && name != "" {
		return name
	}
	return "localhost"
}

func readLog(t *table) logConfig {
	c := logConfig{format: t.text("format", "auto")}
	if err := c.level.UnmarshalText([]byte(t.text("level", "info"))); err != nil || c.level > zapcore.ErrorLevel {
		t.complain("level", "unknown level", "one of debug, info, warn, error")
	}
	if !slices.Contains([]string{"auto", "console", "json"}, c.format) {
		t.complain("format", "unknown format", "one of auto, console, json")
	}
	t.done()
	return c
}

// readAliases reads short user names, for devices with short fields.
func readAliases(t *table) map[string]string {
	aliases := map[string]string{}
	for _, alias := range t.keys() {
		mailbox := t.text(alias, "")
		if err := address.Check(mailbox); err != nil {
			t.complain(alias, err.Error(), "")
			continue
		}
		if strings.Contains(alias, "@") {
			t.complain(alias, "an alias cannot have an @ in it", "it would shadow a mailbox")
		}
		aliases[strings.ToLower(alias)] = strings.ToLower(mailbox)
	}
	return aliases
}

// exposedSecret warns of a file that holds a client secret, a proxy's password,
// the address of a webhook or of a database and can be read by everybody on the
// machine.
func exposedSecret(file string, root *table) string {
	held := ""
	for _, p := range root.table("provider").values {
		p, _ := p.(map[string]any)
		secret, _ := p["client_secret"].(string)
		through, _ := p["proxy"].(string)
		switch {
		case secret != "":
			held = "a client_secret and every user of this machine can read it; chmod 0640 it, or move the secret to a client_secret_file"
		case strings.Contains(through, "@") && held == "":
			held = "a proxy's password and every user of this machine can read it; chmod 0640 it"
		}
	}
	if s, _ := root.table("alert").values["webhook"].(string); s != "" && held == "" {
		held = "the address of a webhook and every user of this machine can read it; chmod 0640 it, or move the address to a webhook_file"
	}
	if s, _ := root.values["store"].(string); strings.Contains(s, "@") && isPostgres(s) && held == "" {
		held = "the address of PostgreSQL and every user of this machine can read it; chmod 0640 it, or write postgres:file:PATH"
	}
	if held == "" || !readableByOthers(file) {
		return ""
	}
	return file + " holds " + held
}
