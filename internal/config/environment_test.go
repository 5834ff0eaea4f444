package config

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"authferry/internal/certs"
	"authferry/internal/config/document"
	"authferry/internal/hint"
	"authferry/internal/logging"
	"authferry/tokens/oauth"
)

// TestEveryKeyByEnvironment gives every key of config.example.toml once in a file
// and once by variables alone, with other values than the defaults where there
// can be others, and both have to mean the same.
func TestEveryKeyByEnvironment(t *testing.T) {
	source, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	full := regexp.MustCompile(`(?m)^#([a-z0-9_.]+ *=|\[)`).ReplaceAllString(string(source), "$1")
	if _, err := toml.Decode(full, &keys); err != nil {
		t.Fatal(err)
	}
	for path, value := range map[string]string{
		"hostname": "mx.example.org", "store": "file:/srv/mail", "seal": "env:SEAL_KEY", "admin": "none",
	} {
		keys[path] = value
	}
	keys["log"] = map[string]any{"level": "debug", "format": "json"}
	keys["domain"] = map[string]any{"example.com": map[string]any{"provider": "program"}}
	program, err := os.Executable() // one that is there on every machine
	if err != nil {
		t.Fatal(err)
	}
	keys["provider"].(map[string]any)["program"] = map[string]any{"like": "gmail", "token_command": []any{program, "a, b"}}
	keys["gate"].(map[string]any)["allow"] = []any{"192.0.2.0/24", "2001:db8::/32"}
	tls := keys["tls"].(map[string]any)
	tls["acme_hosts"] = []any{"mail.example.org", "mx.example.org"}
	unlike(keys)

	file := filepath.Join(t.TempDir(), "config.toml")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := toml.NewEncoder(f).Encode(keys); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	byFile, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	n := setVariables(t, "", keys)
	if n < 60 {
		t.Errorf("only %d variables were tried", n)
	}
	byEnvironment, err := Load(document.InEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	byFile.File = byEnvironment.File
	byFile.Keys = byEnvironment.Keys // which say where each comes from
	if diff := cmp.Diff(byFile, byEnvironment, cmp.AllowUnexported(Config{}, Listener{}, listenOptions{}, certs.Config{}, certs.ACME{}, logging.Config{}, consoleConfig{}, consoleAccess{}),
		cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("the file, and the environment: %s", diff)
	}
}

// unlike changes values that need not be as they are.
func unlike(table map[string]any) {
	for key, v := range table {
		switch v := v.(type) {
		case map[string]any:
			unlike(v)
		case []map[string]any:
			for _, v := range v {
				unlike(v)
			}
		case bool:
			table[key] = !v
		case int64:
			table[key] = v + 1
		case float64:
			table[key] = v / 2
		case string:
			if d, err := time.ParseDuration(v); err == nil {
				table[key] = (d + time.Second).String()
			}
		}
	}
}

// setVariables gives a table by variables, and tells how many they are.
func setVariables(t *testing.T, path string, table map[string]any) (n int) {
	for key, v := range table {
		name, value := "AUTHFERRY_"+path+strings.ToUpper(key), ""
		switch v := v.(type) {
		case map[string]any:
			n += setVariables(t, path+strings.ToUpper(key)+"_", v)
			continue
		case []map[string]any:
			for i, v := range v {
				n += setVariables(t, fmt.Sprintf("%s%s_%d_", path, strings.ToUpper(key), i), v)
			}
			continue
		case []any:
			var parts []string
			for _, v := range v {
				parts = append(parts, v.(string))
			}
			if value = strings.Join(parts, ", "); slices.ContainsFunc(parts, func(s string) bool { return strings.Contains(s, ",") }) {
				value = `["` + strings.Join(parts, `", "`) + `"]`
			}
		default:
			value = fmt.Sprint(v)
		}
		t.Setenv(name, value)
		n++
	}
	return n
}

// TestKeysInFiles: where a key has another one beside it with _file, it is the
// other one that a variable ending in _FILE gives.
func TestKeysInFiles(t *testing.T) {
	doc, root := document.Parse("config.toml", []byte("[[listener]]\n[provider.gmail]\n[provider.example]\n[domain.x]\n[alias]\nscanner = ''"))
	readConfig(root)
	found := map[string]bool{}
	asked := doc.AskedKeys()
	for _, path := range asked {
		key := path[strings.LastIndexByte(path, '.')+1:]
		if slices.Contains(asked, path+"_file") {
			found[key] = true
		}
	}
	if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, document.BesideFile) {
		t.Errorf("besideFile is %q, and should be %q", document.BesideFile, got)
	}
}

// environmentTest writes files, sets variables with $DIR in them standing for
// where these are, and loads what results from it.
func environmentTest(t *testing.T, files, variables map[string]string) (*Config, error) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range variables {
		t.Setenv(name, strings.ReplaceAll(value, "$DIR", dir))
	}
	file := document.InEnvironment
	if _, ok := files["config.toml"]; ok {
		file = filepath.Join(dir, "config.toml")
	}
	return Load(file)
}

func TestEnvironmentOverFile(t *testing.T) {
	c, err := environmentTest(t, map[string]string{
		"config.toml": `
listen = ["imap://127.0.0.1:2143"]
[alias]
Scan-1 = "old@gmail.com"
[provider.my_own-mail]
like = "gmail"
client_id = "file"
client_secret = "file"
[[listener]]
url = "imaps://127.0.0.1:2993"
`,
		"secret": "CANARY kept \n",
		"delay":  "7s\n",
	}, map[string]string{
		"AUTHFERRY_LISTEN":                            " imap://127.0.0.1:3143 ,smtp://127.0.0.1:3587,",
		"AUTHFERRY_LISTENER_0_ALLOW":                  "192.0.2.7",
		"AUTHFERRY_LISTENER_1_URL":                    "smtps://127.0.0.1:2465",
		"AUTHFERRY_PROVIDER_MY_OWN_MAIL_CLIENT_ID":    "variable",
		"AUTHFERRY_PROVIDER_MY_OWN_MAIL_POP3":         "",
		"AUTHFERRY_PROVIDER_GMAIL_CLIENT_ID":          "mine",
		"AUTHFERRY_PROVIDER_GMAIL_CLIENT_SECRET_FILE": "$DIR/secret",
		"AUTHFERRY_PROVIDER_GMAIL_AUTH_PARAMS_HD":     "example.org",
		"AUTHFERRY_GATE_DELAY_FILE":                   "$DIR/delay",
		"AUTHFERRY_GATE_FAILURES":                     "3",
		"AUTHFERRY_ALIAS_SCAN_1":                      "new@gmail.com",
		"AUTHFERRY_ALIAS_FAX":                         "you@gmail.com",
		"AUTHFERRY_LOG":                               `{ level = "warn" }`,
		"AUTHFERRY_STORE":                             "file:state",
		"AUTHFERRY_CONFIG":                            "somewhere",
		"AUTHFERRY_MAILBOX":                           "set for a token_command",
		"AUTHFERRY_PROVIDER":                          "so is this",
		// A Service called authferry, and one called authferry-imap.
		"AUTHFERRY_SERVICE_HOST":       "10.0.0.1",
		"AUTHFERRY_SERVICE_PORT_IMAPS": "993",
		"AUTHFERRY_PORT":               "tcp://10.0.0.1:993",
		"AUTHFERRY_PORT_993_TCP_ADDR":  "10.0.0.1",
		"AUTHFERRY_IMAP_SERVICE_PORT":  "993",
		"AUTHFERRY_IMAP_PORT_993_TCP":  "tcp://10.0.0.1:993",
	})
	if err != nil {
		t.Fatal(err)
	}
	var listen []string
	for _, l := range c.Listen {
		listen = append(listen, l.Written+l.Options.String())
	}
	want := []string{"imap://127.0.0.1:3143", "smtp://127.0.0.1:3587", "imaps://127.0.0.1:2993 allow 192.0.2.7/32", "smtps://127.0.0.1:2465"}
	if diff := cmp.Diff(want, listen); diff != "" {
		t.Error(diff)
	}
	own, gmail := c.Settings.Providers["my_own-mail"], c.Settings.Providers["gmail"]
	if len(c.Settings.Providers) != 2 || own == nil || gmail == nil {
		t.Fatalf("providers %v", c.Settings.Providers)
	}
	if own.ClientID != "variable" || own.ClientSecret.Reveal() != "file" || own.POP3 != (oauth.Endpoint{}) || own.IMAP.Host == "" {
		t.Errorf("%+v", own)
	}
	if gmail.ClientID != "mine" || gmail.ClientSecret.Reveal() != "CANARY kept " || gmail.AuthParams["hd"] != "example.org" {
		t.Errorf("%+v", gmail)
	}
	if diff := cmp.Diff(map[string]string{"scan-1": "new@gmail.com", "fax": "you@gmail.com"}, c.Settings.Aliases); diff != "" {
		t.Error(diff)
	}
	if c.Gate.Delay != 7*time.Second || c.Gate.Failures != 3 || c.Log.Level.String() != "warn" {
		t.Errorf("%+v %+v", c.Gate, c.Log)
	}
	if c.StateDir != filepath.Join(filepath.Dir(c.File), "state") {
		t.Errorf("store %s", c.StateDir)
	}
}

// TestEnvironmentRefused: what is wrong with variables is told all at once, each
// by its name, and never with a value that may be a secret.
func TestEnvironmentRefused(t *testing.T) {
	_, err := environmentTest(t, map[string]string{"key.pem": "CANARY"}, map[string]string{
		"AUTHFERRY_LISTN":                        "imap://127.0.0.1:1143",
		"AUTHFERRY_LISTEN":                       "imap://127.0.0.1:1143,nowhere",
		"AUTHFERRY_DRAIN":                        "soon",
		"AUTHFERRY_GATE_FAILURES":                "many",
		"AUTHFERRY_TLS_ACME":                     "perhaps",
		"AUTHFERRY_TLS_CERT":                     "$DIR/none.pem",
		"AUTHFERRY_TLS_KEY_FILE":                 "$DIR/key.pem",
		"AUTHFERRY_HOSTNAME_FILE":                "$DIR/nothing",
		"AUTHFERRY_LOG_LEVEL":                    "info",
		"AUTHFERRY_LOG_LEVEL_FILE":               "$DIR/level",
		"AUTHFERRY_LOG_FILE":                     "/var/log/authferry",
		"AUTHFERRY_ALIAS":                        `{ CANARY = }`,
		"AUTHFERRY_PROVIDER_GMAIL_CLIENT_SECRET": "CANARY",
		"AUTHFERRY_PROVIDER_GMAIL_CLIENTID":      "CANARY",
		"AUTHFERRY_PROVIDER_GMAIL_REFRESH_AHEAD": "CANARY",
		"AUTHFERRY_LISTENER":                     "CANARY",
	})
	if err == nil {
		t.Fatal("accepted")
	}
	got := err.Error()
	want := []string{
		"the environment: AUTHFERRY_LISTN: unknown variable; did you mean AUTHFERRY_LISTEN?",
		"the environment: AUTHFERRY_LISTEN[1]: ",
		"the environment: AUTHFERRY_DRAIN: must be a time span",
		"the environment: AUTHFERRY_GATE_FAILURES: must be a whole number",
		"the environment: AUTHFERRY_TLS_ACME: must be true or false",
		"the environment: AUTHFERRY_TLS_CERT: ",
		"the environment: AUTHFERRY_HOSTNAME_FILE: open ",
		"the environment: AUTHFERRY_LOG_LEVEL_FILE: gives a second time what AUTHFERRY_LOG_LEVEL gives",
		"the environment: AUTHFERRY_LOG_FILE: unknown variable",
		"the environment: AUTHFERRY_ALIAS: must be a table",
		"the environment: AUTHFERRY_PROVIDER_GMAIL_CLIENTID: unknown variable; did you mean AUTHFERRY_PROVIDER_GMAIL_CLIENT_ID?",
		"the environment: AUTHFERRY_PROVIDER_GMAIL_CLIENT_ID: missing",
		"the environment: AUTHFERRY_PROVIDER_GMAIL_REFRESH_AHEAD: must be the share",
		"the environment: AUTHFERRY_LISTENER: must be tables",
	}
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("no %q", w)
		}
	}
	if n := strings.Count(got, "\n") + 1; n != len(want) || strings.Contains(got, "CANARY") || !hint.IsUsage(err) {
		t.Errorf("%d complaints, want %d:\n%s", n, len(want), got)
	}
}
