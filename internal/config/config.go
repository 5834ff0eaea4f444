// Package config reads the configuration, a TOML file and the environment, as one
// checked value. [Load] returns it, or every complaint about it at once, each with
// its key, its line and a hint.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"

	"authferry/internal/address"
	"authferry/internal/admin"
	"authferry/internal/alert"
	"authferry/internal/certs"
	"authferry/internal/config/document"
	"authferry/internal/hint"
	"authferry/internal/logging"
	"authferry/internal/secret"
	"authferry/proxy"
	"authferry/proxy/gate"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/oauth/tokencommand"
)

// Config is a configuration that has passed every check.
type Config struct {
	File          string
	Listen        []Listener
	StateDir      string        // the directory of the mailboxes, or of this server's own state
	StatePath     string        // StateDir as an absolute path for messages, after root has changed into it; see server.OpenVaultAsOwner
	Postgres      secret.String // the URL of the mailboxes' database; empty: they are in StateDir
	PostgresPlace string        // the URL without the password, for messages
	Outage        time.Duration // how long logins work without the database
	Seal          string        // for tokens.LoadSeal
	Admin         string        // the socket; empty: none
	Monitor       string        // host:port of the monitor; empty: none
	Hostname      string
	Drain         time.Duration
	TLS           certs.Config
	Settings      tokens.Settings
	Gate          gate.Limits
	Limits        proxy.Limits
	Log           logging.Config
	Alert         alert.Config
	Audit         int64 // the limit of the record of logins, in bytes; 0: none
	Console       consoleConfig
	Keys          []document.Setting // every key with its value, for people
	Warnings      []string

	NameMailboxes bool // in metrics
}

const SystemConfig = "/etc/authferry/config.toml"

// Path returns the configuration file: the value of --config, or else the first
// of the usual files that exists.
func Path(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if path := os.Getenv("AUTHFERRY_CONFIG"); path != "" {
		return path, nil
	}
	environment := document.ReadEnvironment(os.Environ())
	places := []string{SystemConfig}
	if runtime.GOOS == "windows" {
		places = []string{filepath.Join(ProgramData(), "config.toml")}
	}
	if dir := userConfigDir(); dir != "" {
		places = append(places, filepath.Join(dir, "authferry", "config.toml"))
	}
	for _, path := range places {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
	}
	if environment.Configures() {
		return document.InEnvironment, nil
	}
	return "", hint.Usage(fmt.Errorf("no configuration: there is no %s", strings.Join(places, ", and no ")),
		"try `authferry demo`, which needs none; to set up authferry, copy config.example.toml, add your OAuth client and name the file with --config")
}

// userConfigDir returns $XDG_CONFIG_HOME on every system, unlike
// os.UserConfigDir: the documentation names one directory.
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

// Load reads and checks a configuration file, or the environment alone if the
// file is called [document.InEnvironment]. If the file can be read at all, the
// error holds every complaint about it.
func Load(file string) (*Config, error) {
	doc, root, err := OpenDocument(file)
	if err != nil {
		return nil, err
	}
	c := readConfig(root)
	c.File = doc.File
	doc.EnvironmentDone()
	if err := doc.Err(); err != nil {
		return nil, err
	}
	c.Warnings, c.Keys = doc.Warnings, doc.Keys
	if w := exposedSecret(doc.File, root); w != "" {
		c.Warnings = append(c.Warnings, w)
	}
	return c, nil
}

// OpenDocument reads a configuration file without checking its values, with the
// environment laid over it.
func OpenDocument(file string) (*document.Document, *document.Table, error) {
	environment := document.ReadEnvironment(os.Environ())
	if file == document.InEnvironment {
		doc, root := document.Parse(file, nil)
		doc.Environment = environment
		return doc, root, nil
	}
	file, err := filepath.Abs(file)
	if err != nil {
		return nil, nil, err
	}
	source, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, hint.Usage(fmt.Errorf("there is no configuration file %s", file),
			"try `authferry demo`, which needs none, or start with a copy of config.example.toml")
	}
	if err != nil {
		return nil, nil, hint.Usage(fmt.Errorf("reading the configuration: %w", err), "run this as the user that authferry serves as")
	}
	doc, root := document.Parse(file, source)
	if root == nil {
		return nil, nil, doc.Err()
	}
	doc.Environment = environment
	return doc, root, nil
}

// readConfig reads every key, with its default.
func readConfig(t *document.Table) *Config {
	c := &Config{
		Listen:   readListeners(t),
		Seal:     readSeal(t),
		Monitor:  ReadMonitor(t),
		Hostname: readHostname(t),
		Drain:    t.Duration("drain", 30*time.Second),
		Gate:     readGate(t.Table("gate")),
		Limits:   readLimits(t.Table("limits")),
		Log:      readLog(t.Table("log")),
		Alert:    readAlert(t.Table("alert")),
		Audit:    readAudit(t.Table("audit")),
	}
	c.ReadStore(t)
	c.Admin = ReadAdmin(t, c.StateDir)
	c.NameMailboxes = t.Flag("monitor_mailboxes", true)
	c.TLS = readTLS(t.Table("tls"), c.Hostname)
	providers := t.TablesByName("provider", slices.Collect(maps.Keys(oauth.Builtin()))...)
	c.Settings.Providers = readProviders(providers)
	c.Settings.Domains = readDomains(t.TablesByName("domain"), c.Settings.Providers, providers)
	c.Settings.Aliases = readAliases(t.TextsByName("alias"))
	c.Console = readConsole(t, c.Hostname)
	t.Done()
	return c
}

func readSeal(t *document.Table) string {
	text := t.Text("seal", "")
	if place := sealInEnvironment(t, text); place != "" {
		return place
	}
	kind, name, _ := strings.Cut(text, ":")
	switch {
	case text == "":
	case name == "" || !slices.Contains([]string{"file", "env", "credential"}, kind):
		t.Complain("seal", "must say where the key is", `"file:PATH", "env:NAME" or "credential:NAME"; "" keeps one in the store directory`)
	case kind == "file":
		return "file:" + t.Resolve(name)
	case kind == "env":
		t.UsesVariable(name)
		tokencommand.HideVariables(name)
	}
	return text
}

func readHostname(t *document.Table) string {
	if name := t.Text("hostname", ""); name != "" {
		if strings.ContainsAny(name, " /:\t\r\n") {
			t.Complain("hostname", "must be a host name", `such as "mail.example.org"`)
		}
		return name
	}
	if name, err := os.Hostname(); err == nil && name != "" {
		return name
	}
	return "localhost"
}

func readLog(t *document.Table) logging.Config {
	c := logging.Config{Format: t.Text("format", "auto")}
	if err := c.Level.UnmarshalText([]byte(t.Text("level", "info"))); err != nil || c.Level > zapcore.ErrorLevel {
		t.Complain("level", "unknown level", "one of debug, info, warn, error")
	}
	if !slices.Contains([]string{"auto", "console", "json"}, c.Format) {
		t.Complain("format", "unknown format", "one of auto, console, json")
	}
	t.Done()
	return c
}

// readAliases reads short user names, for devices with short fields.
func readAliases(t *document.Table) map[string]string {
	aliases := map[string]string{}
	for _, alias := range t.Keys() {
		mailbox := t.Text(alias, "")
		if err := address.Check(mailbox); err != nil {
			t.Complain(alias, err.Error(), "")
			continue
		}
		if strings.Contains(alias, "@") {
			t.Complain(alias, "an alias cannot have an @ in it", "it would shadow a mailbox")
		}
		aliases[strings.ToLower(alias)] = strings.ToLower(mailbox)
	}
	return aliases
}

// exposedSecret returns a warning if every user of the machine can read a file
// that holds a client secret, a proxy's password, or the address of a webhook
// or of a database.
func exposedSecret(file string, root *document.Table) string {
	held := ""
	providers := root.Table("provider")
	for _, name := range providers.Keys() {
		p, _ := providers.Written(name).(map[string]any)
		secret, _ := p["client_secret"].(string)
		through, _ := p["proxy"].(string)
		switch {
		case secret != "":
			held = "a client_secret and every user of this machine can read it; chmod 0640 it, or move the secret to a client_secret_file"
		case strings.Contains(through, "@") && held == "":
			held = "a proxy's password and every user of this machine can read it; chmod 0640 it"
		}
	}
	if s, _ := root.Table("alert").Written("webhook").(string); s != "" && held == "" {
		held = "the address of a webhook and every user of this machine can read it; chmod 0640 it, or move the address to a webhook_file"
	}
	if s, _ := root.Written("store").(string); strings.Contains(s, "@") && IsPostgres(s) && held == "" {
		held = "the address of PostgreSQL and every user of this machine can read it; chmod 0640 it, or write postgres:file:PATH"
	}
	if held == "" || !readableByOthers(file) {
		return ""
	}
	return file + " holds " + held
}

// ProgramData returns the directory of the Windows service.
func ProgramData() string {
	return filepath.Join(os.Getenv("ProgramData"), "authferry")
}

// adminNone switches the admin socket off.
const adminNone = "none"

// ReadAdmin reads the path of the admin socket: in the state directory by
// default, "" if it is turned off.
func ReadAdmin(t *document.Table, store string) string {
	switch text := t.Text("admin", ""); text {
	case "":
		return admin.PathIn(store)
	case adminNone:
		return ""
	default:
		return t.Resolve(text)
	}
}

// sealKey begins every age key.
const sealKey = "AGE-SECRET-KEY-"

// sealInEnvironment returns where the key of the seal is if an environment
// variable holds the key itself, or names its file, instead of naming its
// location.
func sealInEnvironment(t *document.Table, text string) string {
	name, value, inFile := t.Variable("seal")
	switch {
	case name == "" || !strings.Contains(text, sealKey):
		return ""
	case inFile:
		return "file:" + t.Resolve(value)
	}
	return "env:" + name
}
