package config

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"authferry/internal/certs"
	"authferry/internal/config/configtest"
	"authferry/internal/config/document"
	"authferry/internal/hint"
	"authferry/internal/logging"
	"authferry/proxy"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// TestBadConfigurations loads each file of testdata/bad, which must be refused
// for the reasons in its "# want:" lines; no complaint may repeat a secret.
func TestBadConfigurations(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	wants := regexp.MustCompile(`(?m)^# want: (.*)$`)
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Load(file)
		if err == nil {
			t.Errorf("%s is accepted", file)
			continue
		}
		if !hint.IsUsage(err) {
			t.Errorf("%s: not an error of usage: %v", file, err)
		}
		path, _ := filepath.Abs(file)
		got := strings.ReplaceAll(err.Error(), path+":", "line ")
		want := wants.FindAllStringSubmatch(string(source), -1)
		for _, w := range want {
			if !strings.Contains(got, w[1]) {
				t.Errorf("%s: got\n\t%s\nwant\n\t%s", file, got, w[1])
			}
		}
		if n := strings.Count(got, "\n") + 1; n != len(want) {
			t.Errorf("%s: %d complaints, want %d:\n%s", file, n, len(want), got)
		}
		if strings.Contains(got, "CANARY") {
			t.Errorf("%s: a secret is repeated:\n%s", file, got)
		}
	}
}

const example = "../../config.example.toml"

// TestExample: config.example.toml loads as it is, and means the same when all
// that is commented out in it is put to use: what it shows are the defaults.
// Providers and aliases have no defaults, and are there all the same.
func TestExample(t *testing.T) {
	asIs, err := Load(example)
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	commented := regexp.MustCompile(`(?m)^#([a-z0-9_.]+ *=|\[)`)
	full := load(t, string(commented.ReplaceAll(source, []byte("$1"))))
	g, known := *full.Settings.Providers["gmail"], *oauth.Builtin()["gmail"]
	known.ClientID = g.ClientID
	if diff := cmp.Diff(known, g); diff != "" {
		t.Errorf("gmail: %s", diff)
	}
	if l := full.Listen[len(full.Listen)-1]; l.Options != (listenOptions{tls.VersionTLS10, true, "192.0.2.0/24", "198.51.100.0/28"}) {
		t.Errorf("listener: %+v", l)
	}
	if g := full.Gate.Trusted; len(g) != 1 || len(g[0].Networks) != 2 || g[0].Trust.Mailbox != "scanner@example.com" ||
		g[0].Trust.Rules != (tokens.PasswordRules{MessagesPerHour: 60, Recipients: 20}) || !g[0].WithoutTLS {
		t.Errorf("trusted: %+v", g)
	}
	full.Gate.Trusted = nil
	full.Listen, full.Warnings = full.Listen[:len(full.Listen)-1], nil
	if e := full.Settings.Providers["example"]; e.SMTP.Host != "smtp.example.org" || e.AuthParams["prompt"] != "consent" {
		t.Errorf("example: %+v", e)
	}
	full.File, full.Settings, full.Keys = asIs.File, asIs.Settings, asIs.Keys
	if diff := cmp.Diff(asIs, full, cmp.AllowUnexported(Config{}, Listener{}, listenOptions{}, certs.Config{}, certs.ACME{}, logging.Config{}, consoleConfig{}, consoleAccess{})); diff != "" {
		t.Errorf("the defaults in force and the defaults shown: %s", diff)
	}
}

// TestExampleRecipes: the tables that config.example.toml has for organisations
// load together, once the files that they name are there.
func TestExampleRecipes(t *testing.T) {
	source, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	configtest.WriteProofs(t, dir)
	var recipes strings.Builder
	for _, line := range regexp.MustCompile(`(?m)^#  (\[.*|[a-z_]+ = .*)$`).FindAllStringSubmatch(string(source), -1) {
		recipes.WriteString(line[1] + "\n")
	}
	recipe := strings.NewReplacer("workspace.json", "account.json", "contoso.pem", "client.pem", "contoso.key", "client.key",
		"/usr/local/bin/mail-token", filepath.Join(dir, "print")).Replace(recipes.String())
	settings := loadIn(t, dir, recipe).Settings
	for name, flow := range map[string]oauth.Flow{
		"workspace": oauth.FlowServiceAccount, "contoso": oauth.FlowClientCredentials, "ours": oauth.FlowTokenCommand,
	} {
		if p := settings.Providers[name]; p == nil || p.Flow != flow {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if settings.Domains["example.com"] != "workspace" {
		t.Errorf("%q", settings.Domains)
	}
}

// TestExampleMentionsEveryKey: what readConfig asks for is in the example.
func TestExampleMentionsEveryKey(t *testing.T) {
	source, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	doc, root := document.Parse("config.toml", []byte("[[listener]]\n[provider.gmail]\n[provider.example]\n[domain.x]\n[[gate.trusted]]\n[alias]\nscanner = ''"))
	readConfig(root)
	missing := []string{}
	for _, path := range doc.AskedKeys() {
		path = strings.TrimSuffix(path, ".x") // a name that is free to choose
		key := path[strings.LastIndexByte(path, '.')+1:]
		shown := regexp.MustCompile(`(?m)^#?([a-z.]+\.)?(` + regexp.QuoteMeta(key) + `( *=|\.)|\[\[?(.*\.)?` + regexp.QuoteMeta(key) + `[].])`)
		if !shown.Match(source) {
			missing = append(missing, path)
		}
	}
	slices.Sort(missing)
	if len(missing) > 0 {
		t.Errorf("config.example.toml does not mention %q", missing)
	}
}

func TestDefaults(t *testing.T) {
	c := load(t, "")
	if len(c.Listen) != 3 || c.Listen[0].Address != "127.0.0.1:1143" || c.Listen[0].Security != proxy.Plain {
		t.Errorf("listen: %+v", c.Listen)
	}
	if c.StateDir != "/var/lib/authferry" || c.Seal != "" || c.Hostname == "" {
		t.Errorf("%q %q %q", c.StateDir, c.Seal, c.Hostname)
	}
	if len(c.Settings.Providers) != 0 {
		t.Error("a provider without a client is offered")
	}
}

func TestTrustedAnywhere(t *testing.T) {
	c := load(t, "[[gate.trusted]]\nnetworks = ['0.0.0.0/0', '192.168.0.0/16']\nmailbox = 'Scanner@Example.com'\nrecipients = 0\nanywhere = true\n")
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "0.0.0.0/0 is much of the internet") {
		t.Errorf("warnings: %q", c.Warnings)
	}
	if g := c.Gate.Trusted[0]; g.Trust.Mailbox != "scanner@example.com" || g.Trust.Rules != (tokens.PasswordRules{MessagesPerHour: 60}) || g.WithoutTLS {
		t.Errorf("%+v", g)
	}
}

func TestProvider(t *testing.T) {
	c := load(t, `
[provider.gmail]
client_id = "mine"
mechanism = "oauthbearer"
pop3 = ""
smtp = "smtp://smtp.gmail.com"
refresh_ahead = 0.5
auth_params = { hd = "example.org" }
[provider.example]
client_id = "public"
auth_url = "https://accounts.example.org/auth"
token_url = "http://127.0.0.1:1/token"
scopes = ["mail"]
mechanism = "XOAuth2"
imap = "imaps://imap.example.org"
pop3 = "pop3://pop.example.org:1110"
smtp_extensions = ["SIZE 1000"]
`)
	g := c.Settings.Providers["gmail"]
	if g.ClientID != "mine" || g.Mechanism != "OAUTHBEARER" || g.RefreshAhead != 0.5 ||
		g.POP3 != (oauth.Endpoint{}) || g.SMTP != (oauth.Endpoint{Host: "smtp.gmail.com", Port: 587, StartTLS: true}) ||
		g.IMAP != (oauth.Endpoint{Host: "imap.gmail.com", Port: 993}) ||
		g.AuthParams["hd"] != "example.org" || g.AuthParams["access_type"] != "offline" {
		t.Errorf("gmail: %+v", g)
	}
	if g.Issuer != "https://accounts.google.com" {
		t.Errorf("issuer %q", g.Issuer)
	}
	if other := load(t, "[provider.gmail]\nclient_id = 'x'\nauth_url = 'http://localhost/auth'"); other.Settings.Providers["gmail"].Issuer != "" {
		t.Error("another consent page is to answer as Google")
	}
	e := c.Settings.Providers["example"]
	if e.Name != "example" || e.Mechanism != "XOAUTH2" || !e.ClientSecret.Empty() || e.RedirectHost != "127.0.0.1" ||
		e.IMAP != (oauth.Endpoint{Host: "imap.example.org", Port: 993}) ||
		e.POP3 != (oauth.Endpoint{Host: "pop.example.org", Port: 1110, StartTLS: true}) ||
		e.SMTP != (oauth.Endpoint{}) || e.RefreshAhead != oauth.DefaultRefreshAhead {
		t.Errorf("example: %+v", e)
	}
}

// TestClientFiles: Google's downloaded JSON is taken as it is, and a secret in
// a file of its own loses only the line end that editors add.
func TestClientFiles(t *testing.T) {
	json, err := filepath.Abs("testdata/client_secret_demo.json")
	if err != nil {
		t.Fatal(err)
	}
	c := load(t, fmt.Sprintf("[provider.gmail]\nclient_file = %q", json))
	g := c.Settings.Providers["gmail"]
	if g.ClientID != "demo.apps.googleusercontent.com" || g.ClientSecret.Reveal() != "CANARY-of-the-file" || g.AuthURL != oauth.Builtin()["gmail"].AuthURL {
		t.Errorf("%q %q %q", g.ClientID, g.ClientSecret.Reveal(), g.AuthURL)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(" kept \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(file, []byte("[provider.gmail]\nclient_id = 'x'\nclient_secret_file = 'secret'"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err = Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Settings.Providers["gmail"].ClientSecret.Reveal(); s != " kept " {
		t.Errorf("secret %q", s)
	}
}

func TestRelativePaths(t *testing.T) {
	c := load(t, `
store = "file:state"
seal = "file:../seal.key"
`)
	dir := filepath.Dir(c.File)
	if c.StateDir != filepath.Join(dir, "state") || c.Seal != "file:"+filepath.Join(filepath.Dir(dir), "seal.key") {
		t.Errorf("store %s, seal %s", c.StateDir, c.Seal)
	}
}

func TestAliases(t *testing.T) {
	c := load(t, "[alias]\nScan1 = 'You@Gmail.com'")
	if got := c.Settings.Aliases["scan1"]; got != "you@gmail.com" {
		t.Errorf("%q", got)
	}
}

// load loads a configuration that must be accepted.
func load(t *testing.T, source string) *Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
