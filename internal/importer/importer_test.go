package importer

import (
	"fmt"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"authferry/internal/secret"
	"authferry/tokens/oauth"
)

// Shaped as the programs write them.
const (
	muttFile = `{"registration": "microsoft", "authflow": "devicecode", "email": "you@contoso.example",
		"access_token": "eyJcanary", "access_token_expiration": "2026-11-21T08:00:00.000000",
		"refresh_token": "0.AXcanary", "client_id": "00000000-1111-2222-3333-444444444444", "client_secret": "canary-secret"}`
	oamaFile = `{"access_token":"ya29.canary","email":"you@gmail.com","exp_date":"2026-11-21 08:00 UTC","expires_in":3599,
		"refresh_token":"1//0canary","scope":"https://mail.google.com/","service":"google","token_type":"Bearer"}`
	oamaNewFile = `{"access_token":"ya29.canary","email":{"unEmailAddress":"you@gmail.com"},"expires_in":3599,
		"refresh_token":"1//0canary","scope":null,"service":"google","token_type":"Bearer"}`
	saslFile   = `{"access_token": "ya29.canary", "expiry": "1700000000", "refresh_token": "1//0canary", "user": "you@gmail.com"}`
	saslOwn    = `{"refresh_token": "0.AXcanary", "client_id": "own", "client_secret": "", "token_endpoint": "https://login.microsoftonline.com/t/oauth2/v2.0/token", "expiry": 0}`
	saslConfig = `{"client_id": "1234.apps.googleusercontent.com", "client_secret": "canary-secret", "log_to_syslog_on_failure": "yes"}`
)

func TestTokenFiles(t *testing.T) {
	sasl := func(configuration string) func([]byte) (*Account, error) {
		return func(content []byte) (*Account, error) {
			if configuration == "" {
				return parseSASLXOAUTH2(content, nil)
			}
			return parseSASLXOAUTH2(content, []byte(configuration))
		}
	}
	for name, c := range map[string]struct {
		read func([]byte) (*Account, error)
		file string
		want Account
	}{
		"mutt_oauth2": {parseMutt, muttFile, Account{Mailbox: "you@contoso.example", Refresh: "0.AXcanary", Provider: Provider{
			Family: "microsoft", Flow: oauth.FlowDeviceCode, ClientID: "00000000-1111-2222-3333-444444444444", ClientSecret: "canary-secret"}}},
		"mutt_oauth2 of before": {parseMutt, `{"registration": "google", "authflow": "authcode", "refresh_token": "1//0canary"}`,
			Account{Refresh: "1//0canary", Provider: Provider{Family: "gmail"}}},
		"oama":              {parseOama, oamaFile, Account{Mailbox: "you@gmail.com", Refresh: "1//0canary", Provider: Provider{Family: "gmail"}}},
		"oama, new":         {parseOama, "\ufeff" + oamaNewFile, Account{Mailbox: "you@gmail.com", Refresh: "1//0canary", Provider: Provider{Family: "gmail"}}},
		"oama, own service": {parseOama, strings.Replace(oamaFile, `"google"`, `"work"`, 1), Account{Mailbox: "you@gmail.com", Refresh: "1//0canary"}},
		"sasl-xoauth2": {sasl(saslConfig), saslFile, Account{Mailbox: "you@gmail.com", Refresh: "1//0canary", Provider: Provider{
			Family: "gmail", ClientID: "1234.apps.googleusercontent.com", ClientSecret: "canary-secret"}}},
		"sasl-xoauth2, its own client": {sasl(saslConfig), saslOwn, Account{Refresh: "0.AXcanary", Provider: Provider{
			Family: "microsoft", TokenURL: "https://login.microsoftonline.com/t/oauth2/v2.0/token", ClientID: "own", ClientSecret: "canary-secret"}}},
		"sasl-xoauth2 alone": {sasl(""), saslFile, Account{Mailbox: "you@gmail.com", Refresh: "1//0canary", Provider: Provider{Family: "gmail"}}},
	} {
		a, err := c.read([]byte(c.file))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, want := revealed(*a), revealed(c.want); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
		}
	}
}

// revealed is an account with its secrets, which no verb prints.
func revealed(a Account) string {
	return fmt.Sprintf("%s %q %q %+v", a.Mailbox, a.Refresh.Reveal(), a.Provider.ClientSecret.Reveal(), a.Provider)
}

func TestTokenFilesThatWillNotDo(t *testing.T) {
	for file, says := range map[string]string{
		"-----BEGIN PGP MESSAGE-----\n\nhQcanary": "gpg --decrypt",
		"\x85\x01\x0c\x03canary":                  "gpg --decrypt",
		"":                                        "the file is empty",
		"  \n":                                    "the file is empty",
		`{"refresh_token": "canary`:               "not a JSON object",
		`"canary"`:                                "not a JSON object",
		`null`:                                    "not a JSON object",
		`{"email": "you@gmail.com"}`:              "the file has no refresh token",
		`{"refresh_token": "ya29.canary"}`:        "access token of Google",
		`{"refresh_token": "can ary"}`:            "is not valid",
		`{"refresh_token": {"canary": 1}}`:        "the file has no refresh token",
	} {
		for name, read := range map[string]func([]byte) (*Account, error){
			"mutt": parseMutt, "oama": parseOama, "sasl": func(b []byte) (*Account, error) { return parseSASLXOAUTH2(b, []byte(saslConfig)) },
		} {
			if _, err := read([]byte(file)); err == nil || !strings.Contains(err.Error(), says) && !strings.HasPrefix(says, "gpg") || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s of %q: %v", name, file, err)
			}
		}
		if _, err := parseMutt([]byte(file)); !strings.Contains(err.Error(), says) {
			t.Errorf("mutt of %q: %v", file, err)
		}
	}
	if _, err := parseSASLXOAUTH2([]byte(saslFile), []byte("canary")); err == nil || !strings.HasPrefix(err.Error(), "the configuration of sasl-xoauth2: ") {
		t.Errorf("a damaged configuration: %v", err)
	}
}

func TestToken(t *testing.T) {
	for text, want := range map[string]secret.String{"1//0canary\n": "1//0canary", "\ufeff 0.AX_y-z \r\n": "0.AX_y-z"} {
		if got, err := parseToken([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"", "a b", "ya29.canary", oamaFile, "tok\x00en", strings.Repeat("x", maxToken+1), "canary\ncanary"} {
		if _, err := parseToken([]byte(text)); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

func TestIsTheConfiguredOne(t *testing.T) {
	gmail, microsoft := oauth.Builtin()["gmail"], oauth.Builtin()["microsoft"]
	gmail.ClientID, microsoft.ClientID = "g", "m"
	stand := *gmail
	stand.TokenURL = "http://127.0.0.1:1/token"
	app := *microsoft
	app.Flow = oauth.FlowClientCredentials
	account := *gmail
	account.Flow = oauth.FlowServiceAccount
	for i, c := range []struct {
		p    Provider
		q    *oauth.Provider
		want bool
	}{
		{Provider{Family: "gmail", ClientID: "g"}, gmail, true},
		{Provider{Family: "gmail"}, gmail, true},
		{Provider{Family: "gmail"}, &stand, true},
		{Provider{Family: "gmail", ClientID: "another"}, gmail, false},
		{Provider{Family: "gmail", ClientID: "g"}, microsoft, false},
		{Provider{TokenURL: stand.TokenURL, ClientID: "g"}, &stand, true},
		{Provider{Family: "microsoft", TokenURL: "https://login.microsoftonline.com/t/oauth2/v2.0/token", ClientID: "m"}, microsoft, false},
		{Provider{Family: "microsoft", ClientID: "m", Flow: oauth.FlowDeviceCode}, microsoft, true},
		{Provider{Family: "microsoft", ClientID: "m"}, &app, false},
		{Provider{Family: "microsoft", ClientID: "m", Flow: oauth.FlowClientCredentials}, &app, true},
		{Provider{Family: "gmail", Flow: oauth.FlowServiceAccount, ServiceAccountFile: "x"}, &account, true},
		{Provider{Family: "gmail", Flow: oauth.FlowServiceAccount, ServiceAccountFile: "x"}, gmail, false},
		{Provider{}, gmail, false},
	} {
		if got := c.p.is(c.q); got != c.want {
			t.Errorf("%d: %v is %s: %v", i, c.p, c.q.Name, got)
		}
	}
}

func TestNames(t *testing.T) {
	taken := map[string]bool{"gmail": true, "gmail-2": true, "fastmail": true}
	for _, c := range []struct {
		p          Provider
		name, like string
	}{
		{Provider{Family: "microsoft"}, "microsoft", ""},
		{Provider{Family: "gmail"}, "gmail-3", "gmail"},
		{Provider{TokenURL: "https://api.fastmail.com/oauth/refresh"}, "fastmail-2", ""},
		{Provider{TokenURL: "https://LOGIN.Example.org/token"}, "example", ""},
		{Provider{TokenURL: "http://127.0.0.1:5/token"}, "127-0-0-1", ""},
		{Provider{TokenURL: "https://gmail.example/token"}, "gmail-3", ""},
		{Provider{TokenURL: "https://microsoft.example/token"}, "microsoft-2", ""},
		{Provider{TokenURL: "\x7f"}, "imported", ""},
	} {
		name, like := c.p.tableName(func(n string) bool { return taken[n] })
		if name != c.name || like != c.like {
			t.Errorf("%s is called %q like %q, want %q like %q", c.p.TokenURL, name, like, c.name, c.like)
		}
	}
}

func TestTOML(t *testing.T) {
	found := emailProxy(t, password)
	for _, c := range []struct {
		mailbox string
		entry   entry
		want    string
	}{
		{"Alice@gmail.com", entry{Name: "gmail", SecretFile: "/s/client"},
			"[provider.gmail]\nclient_id = \"1234-alice.apps.googleusercontent.com\"\nclient_secret_file = \"/s/client\"\n"},
		{"Alice@gmail.com", entry{Name: "gmail-2", Like: "gmail"},
			"[provider.gmail-2]\nlike = \"gmail\"\nclient_id = \"1234-alice.apps.googleusercontent.com\"\nclient_secret = \"GOCSPX-canary-client\"\n"},
		{"cert@contoso.example", entry{Name: "microsoft"}, `[provider.microsoft]
flow = "client_credentials"
client_id = "66666666-1111-2222-3333-444444444444"
certificate_file = "/etc/proxy/client.pem"
certificate_key_file = "/etc/proxy/client.key"
token_url = "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token"
scopes = ["https://outlook.office365.com/.default"]
`},
		{"carol@example.org", entry{Name: "example"}, `[provider.example]
client_id = "carols"
auth_url = "https://login.example.org/authorize"
token_url = "https://login.example.org/token"
scopes = ["mail", "offline"]
redirect_host = "localhost"
imap = "imaps://imap.mail.example.org:993"
smtp = "smtp://smtp.mail.example.org:587"
`},
		{"erin@example.net", entry{Name: "gmail", KeyFile: "/s/key.json"},
			"[provider.gmail]\nflow = \"service_account\"\nservice_account_file = \"/s/key.json\"\n"},
	} {
		c.entry.Provider = found.account(t, c.mailbox).Provider
		if got := c.entry.toml(); got != c.want {
			t.Errorf("%s:\n%s", c.mailbox, got)
		}
	}
	e := entry{Name: "gmail", Provider: found.account(t, "erin@example.net").Provider}
	if got := e.toml(); strings.Contains(got, "canary") || !strings.Contains(got, "#service_account_file") {
		t.Errorf("a key in print: %s", got)
	}
	if got := found.Domains[0].toml("gmail"); got != "[domain.\"example.net\"]\nprovider = \"gmail\"\n" {
		t.Errorf("the domain: %s", got)
	}
	if got := found.listenTOML(); !strings.Contains(got, `#listen = ["imap://127.0.0.1:2993", "imaps://192.0.2.5:3993", `) {
		t.Errorf("listen: %s", got)
	}
	if got := (&emailProxyFile{}).listenTOML(); got != "" {
		t.Errorf("nothing was listened at: %s", got)
	}
}

// FuzzTOML: the table has the values of the file, whatever they are.
func FuzzTOML(f *testing.F) {
	f.Add("id", "secret", "https://x.example/token", "a b")
	f.Add("\"\\\n]\x7f\x00", "\u2028'", "\xff", "=")
	f.Fuzz(func(t *testing.T, id, clientSecret, tokenURL, scopes string) {
		for _, s := range []*string{&id, &clientSecret, &tokenURL, &scopes} {
			*s = strings.ToValidUTF8(*s, "?")
		}
		p := Provider{ClientID: id, ClientSecret: secret.String(clientSecret), TokenURL: tokenURL, Scopes: strings.Fields(scopes)}
		e := entry{Provider: p}
		e.Name, _ = p.tableName(func(string) bool { return false })
		var got struct {
			Provider map[string]struct {
				ID     string `toml:"client_id"`
				Secret string `toml:"client_secret"`
				URL    string `toml:"token_url"`
				Scopes []string
			}
		}
		if err := toml.Unmarshal([]byte(e.toml()), &got); err != nil {
			t.Fatalf("%v in\n%s", err, e.toml())
		}
		table := got.Provider[e.Name]
		if table.ID != id || table.Secret != clientSecret || table.URL != tokenURL || strings.Join(table.Scopes, " ") != strings.Join(p.Scopes, " ") {
			t.Errorf("got %+v of\n%s", table, e.toml())
		}
	})
}

func FuzzTokenFiles(f *testing.F) {
	for _, file := range []string{muttFile, oamaFile, oamaNewFile, saslFile, saslOwn, saslConfig, "1//0x", "\x85\x01"} {
		f.Add([]byte(file))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, read := range []func([]byte) (*Account, error){
			parseMutt, parseOama,
			func(b []byte) (*Account, error) { return parseSASLXOAUTH2(b, nil) },
			func(b []byte) (*Account, error) { return parseSASLXOAUTH2([]byte(saslFile), b) },
			func(b []byte) (*Account, error) { s, err := parseToken(b); return &Account{Refresh: s}, err },
		} {
			if a, err := read(content); err == nil && checkToken(a.Refresh) != nil {
				t.Errorf("%q gave a token that is none", content)
			}
		}
	})
}

func FuzzEmailProxy(f *testing.F) {
	config := string(read(f, "emailproxy.config"))
	f.Add(config, "")
	f.Add(string(read(f, "emailproxy-bare.config")), string(read(f, "emailproxy.cache")))
	f.Add("[@]\n[a@b]\nx:y\n [IMAP-1]\n", "[a@b]\nrefresh_token=x")
	f.Fuzz(func(t *testing.T, config, cache string) {
		// Without a password: nothing is gained by a fuzzer that makes keys.
		found, err := parseEmailProxy([]byte(config), []byte(cache), "")
		if err != nil {
			return
		}
		for _, a := range found.Accounts {
			if !a.Refresh.Empty() {
				t.Errorf("a grant was opened without a password")
			}
			e := entry{Name: "x", Provider: a.Provider}
			if a.Problem == "" && strings.TrimSpace(e.toml()) == "" {
				t.Errorf("nothing to write for %q", a.Mailbox)
			}
		}
		found.listenTOML()
	})
}

func FuzzFernet(f *testing.F) {
	f.Add([]byte(strings.Repeat("k", 32)), fernetToken)
	f.Fuzz(func(t *testing.T, key []byte, token string) {
		if s, err := openFernet(key, token); err != nil && !s.Empty() {
			t.Error("text beside an error")
		}
	})
}
