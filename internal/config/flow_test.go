package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"authferry/internal/config/configtest"
	"authferry/tokens/oauth"
)

// TestLike: a table that is like another differs from it by what it says, and
// leaves it as it is.
func TestLike(t *testing.T) {
	c := load(t, `
[provider.zwei]
like = "contoso"
client_id = "third"
smtp = ""
[provider.contoso]
like = "microsoft"
client_id = "second"
client_secret = "of the second"
tenant = "contoso.com"
[provider.contoso.auth_params]
domain_hint = "contoso.com"
[provider.fabrikam]
like = "contoso"
tenant = "fabrikam.com"
[provider.microsoft]
client_id = "first"
`)
	known := oauth.Builtin()["microsoft"]
	first, second := c.Settings.Providers["microsoft"], c.Settings.Providers["contoso"]
	third, fourth := c.Settings.Providers["zwei"], c.Settings.Providers["fabrikam"]
	if first.TokenURL != known.TokenURL || first.ClientID != "first" || first.AuthParams["domain_hint"] != "" {
		t.Errorf("microsoft: %q %q", first.TokenURL, first.ClientID)
	}
	for _, p := range []*oauth.Provider{second, third} {
		for _, address := range []string{p.AuthURL, p.TokenURL, p.DeviceURL} {
			if !strings.HasPrefix(address, "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/") {
				t.Errorf("%s: %s", p.Name, address)
			}
		}
		if p.AuthParams["domain_hint"] != "contoso.com" {
			t.Errorf("%s: %v", p.Name, p.AuthParams)
		}
	}
	if second.Name != "contoso" || second.SMTP != known.SMTP || !slices.Equal(second.Scopes, known.Scopes) {
		t.Errorf("contoso: %q %v", second.Name, second.SMTP)
	}
	if third.Name != "zwei" || third.ClientID != "third" || third.SMTP.Host != "" || third.IMAP != known.IMAP {
		t.Errorf("zwei: %q %q %v", third.Name, third.ClientID, third.SMTP)
	}
	if !third.ClientSecret.Empty() || second.ClientSecret.Reveal() != "of the second" {
		t.Error("a client has the secret of another")
	}
	if fourth.ClientID != "second" || fourth.ClientSecret.Reveal() != "of the second" ||
		!strings.HasPrefix(fourth.TokenURL, "https://login.microsoftonline.com/fabrikam.com/") {
		t.Errorf("fabrikam: %q %q", fourth.ClientID, fourth.TokenURL)
	}
}

// TestMovedService: where tokens come from somewhere else, they are not shown
// to what was known of the provider before.
func TestMovedService(t *testing.T) {
	known := oauth.Builtin()["gmail"]
	for _, test := range []struct{ tables, revoke, userinfo string }{
		{"", known.RevokeURL, known.UserInfoURL},
		{"token_url = 'https://oauth2.googleapis.com/v4/token'", known.RevokeURL, known.UserInfoURL},
		{"token_url = 'http://127.0.0.1:1/token'", "", ""},
		{"token_url = 'http://127.0.0.1:1/token'\nuserinfo_url = 'http://127.0.0.1:1/me'", "", "http://127.0.0.1:1/me"},
	} {
		p := load(t, "[provider.gmail]\nclient_id = 'x'\n"+test.tables).Settings.Providers["gmail"]
		if p.RevokeURL != test.revoke || p.UserInfoURL != test.userinfo {
			t.Errorf("%s: revoke %q, userinfo %q", test.tables, p.RevokeURL, p.UserInfoURL)
		}
	}
}

// TestFlows: the flow is what was named, or what the proof given is for.
func TestFlows(t *testing.T) {
	dir := t.TempDir()
	configtest.WriteProofs(t, dir)
	personal := oauth.Builtin()["microsoft"].Scopes
	for _, test := range []struct {
		table  string
		flow   oauth.Flow
		scopes []string
	}{
		{"like = 'gmail'\nservice_account_file = 'account.json'", oauth.FlowServiceAccount, []string{"https://mail.google.com/"}},
		{"like = 'gmail'\ntoken_command = ['./print']", oauth.FlowTokenCommand, []string{"https://mail.google.com/"}},
		{"token_command = ['./print']\nimap = 'imaps://imap.example.org'", oauth.FlowTokenCommand, nil},
		{"like = 'microsoft'\ntenant = 't'\nclient_id = 'x'\ncertificate_file = 'client.pem'\ncertificate_key_file = 'client.key'", oauth.FlowClientCredentials, microsoftApp},
		{"like = 'microsoft'\ntenant = 't'\nclient_id = 'x'\nclient_secret = 's'\nflow = 'client_credentials'", oauth.FlowClientCredentials, microsoftApp},
		{"like = 'microsoft'\ntenant = 't'\nclient_id = 'x'\nclient_secret = 's'\nflow = 'client_credentials'\nscopes = ['mine']", oauth.FlowClientCredentials, []string{"mine"}},
		{"like = 'microsoft'\nclient_id = 'x'\nflow = 'consent'\ncertificate_file = 'client.pem'\ncertificate_key_file = 'client.key'", oauth.FlowConsent, personal},
		{"like = 'microsoft'\nclient_id = 'x'\nflow = 'device_code'", oauth.FlowDeviceCode, personal},
		{"like = 'app'\nclient_id = 'x'\nflow = 'consent'", oauth.FlowConsent, personal},
		{"like = 'microsoft'\nclient_id = 'x'", "", personal},
	} {
		source := "[provider.p]\n" + test.table
		if strings.Contains(source, "'app'") {
			source += "\n[provider.app]\nlike = 'microsoft'\ntenant = 't'\nclient_id = 'x'\nclient_secret = 's'\nflow = 'client_credentials'"
		}
		p := loadIn(t, dir, source).Settings.Providers["p"]
		if p.Flow != test.flow || !slices.Equal(p.Scopes, test.scopes) {
			t.Errorf("%s: flow %q, scopes %q", test.table, p.Flow, p.Scopes)
		}
		if given := strings.Contains(test.table, "certificate"); given != (p.Certificate != nil) {
			t.Errorf("%s: certificate %v", test.table, p.Certificate)
		}
		if len(p.TokenCommand) > 0 && p.TokenCommand[0] != filepath.Join(dir, "print") {
			t.Errorf("%s: %q", test.table, p.TokenCommand)
		}
	}
}

func TestDomains(t *testing.T) {
	dir := t.TempDir()
	configtest.WriteProofs(t, dir)
	c := loadIn(t, dir, `
[provider.workspace]
like = "gmail"
service_account_file = "account.json"
[domain."Example.COM"]
provider = "workspace"
[domain."BÜCHER.example"]
provider = "workspace"
[domain.xn--wgv71a119e]
provider = "workspace"
`)
	want := []string{"bücher.example", "example.com", "xn--bcher-kva.example", "xn--wgv71a119e", "日本語"}
	got := []string{}
	for domain, provider := range c.Settings.Domains {
		got = append(got, domain)
		if provider != "workspace" {
			t.Errorf("%s: %q", domain, provider)
		}
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// FuzzClientFile: a file that a person downloaded is an OAuth client, or an
// error that repeats nothing of it.
func FuzzClientFile(f *testing.F) {
	const canary = "CANARY-of-a-secret"
	for _, seed := range []string{
		`{"installed":{"client_id":"x","client_secret":"` + canary + `","auth_uri":"https://a","token_uri":"https://t"}}`,
		`{"web":{"client_id":"x"}}`, `{"type":"service_account"}`, `{"installed":"` + canary + `"}`, `[]`, `null`, ``, `{"installed":null,"web":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		p := &oauth.Provider{}
		err := ParseClientFile(content, p)
		if err != nil && (strings.Contains(err.Error(), canary) || p.ClientID != "") {
			t.Errorf("%q, %v", p.ClientID, err)
		}
		if err == nil && p.ClientID == "" {
			t.Error("a client without an id")
		}
	})
}

// TestEffectiveHidesSecrets: what is logged of the providers names them, and no
// more of what opens them.
func TestEffectiveHidesSecrets(t *testing.T) {
	dir := t.TempDir()
	configtest.WriteProofs(t, dir)
	c := loadIn(t, dir, `
[provider.gmail]
client_id = "mine"
client_secret = "CANARY1"
proxy = "http://CANARY2:CANARY3@proxy.example.org:3128"
[provider.command]
like = "gmail"
token_command = ["./print", "CANARY4"]
[provider.workspace]
like = "gmail"
service_account_file = "account.json"
[alert]
webhook = "https://hooks.example.org/CANARY5"
command = ["./print", "CANARY6"]
[alias]
scan = "CANARY7@example.org"
`)
	if got := c.Settings.Providers["gmail"].Proxy; got == nil || got.User.Username() != "CANARY2" {
		t.Error("the proxy is not as given")
	}
	encoder := zapcore.NewMapObjectEncoder()
	for _, field := range c.Effective() {
		field.AddTo(encoder)
	}
	text := fmt.Sprintf("%+v", encoder.Fields)
	if strings.Contains(text, "CANARY") || strings.Contains(text, "PRIVATE KEY") {
		t.Error(text)
	}
	for _, want := range []string{"gmail: client mine", "through http://proxy.example.org:3128", "print", "ferry@demo", `command = [`, "window = \"10m\"", "drain:30s", "acme = false"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	var _ []zap.Field = c.Effective()
}

// loadIn loads a configuration that must be accepted from a directory.
func loadIn(t *testing.T, dir, source string) *Config {
	t.Helper()
	file := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
