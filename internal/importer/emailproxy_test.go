package importer

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"authferry/internal/secret"
	"authferry/tokens/oauth"
)

// The files under testdata were written by Python's configparser and its
// package cryptography, which are what email-oauth2-proxy writes its own with.
// Fewer iterations than it takes keep the tests short.

const password = secret.String("correct horse battery")

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func emailProxy(t *testing.T, password secret.String, only ...string) *emailProxyFile {
	t.Helper()
	found, err := parseEmailProxy(read(t, "emailproxy.config"), nil, password, only...)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (e *emailProxyFile) account(t *testing.T, mailbox string) Account {
	t.Helper()
	for _, a := range e.Accounts {
		if a.Mailbox == mailbox {
			return a
		}
	}
	t.Fatalf("no account %s", mailbox)
	return Account{}
}

func TestEmailProxyGrants(t *testing.T) {
	found := emailProxy(t, password)
	for mailbox, want := range map[string]struct {
		refresh secret.String
		problem string
	}{
		"Alice@gmail.com":      {"1//0canary-refresh-alice", ""},
		"bob@contoso.example":  {"0.AXcanary-refresh-bob", ""}, // from before the number of iterations was stored
		"device@outlook.com":   {"M.C5canary-refresh-device", ""},
		"carol@example.org":    {"", "no one has signed in with the old program: authferry connect carol@example.org"},
		"dora@gmail.com":       {"", "cannot be decrypted with this password"},
		"app@contoso.example":  {"", ""},
		"cert@contoso.example": {"", ""},
		"file@gmail.com":       {"", ""},
		"erin@example.net":     {"", ""},
		"old@contoso.example":  {"", "oauth2_flow = password"},
	} {
		a := found.account(t, mailbox)
		if a.Refresh != want.refresh || (a.Problem == "") != (want.problem == "") || !strings.Contains(a.Problem, want.problem) {
			t.Errorf("%s: the right grant: %v; problem %q", mailbox, a.Refresh == want.refresh, a.Problem)
		}
	}
	if n := len(found.Accounts); n != 10 {
		t.Errorf("%d accounts", n)
	}
}

func TestEmailProxyWithoutAPassword(t *testing.T) {
	found := emailProxy(t, "")
	for _, mailbox := range []string{"Alice@gmail.com", "app@contoso.example"} {
		if a := found.account(t, mailbox); !strings.Contains(a.Problem, "--password-stdin") || !a.Refresh.Empty() {
			t.Errorf("%s: problem %q", mailbox, a.Problem)
		}
	}
	if a := found.account(t, "cert@contoso.example"); a.Problem != "" {
		t.Errorf("a certificate needs no password: %s", a.Problem)
	}
}

func TestEmailProxyProviders(t *testing.T) {
	found := emailProxy(t, password)
	for mailbox, want := range map[string]Provider{
		"Alice@gmail.com": {Family: "gmail", ClientID: "1234-alice.apps.googleusercontent.com", ClientSecret: "GOCSPX-canary-client",
			Scopes: []string{"https://mail.google.com/"}, RedirectHost: "localhost"},
		"carol@example.org": {ClientID: "carols", Scopes: []string{"mail", "offline"}, RedirectHost: "localhost",
			AuthURL: "https://login.example.org/authorize", TokenURL: "https://login.example.org/token",
			IMAP: "imaps://imap.mail.example.org:993", SMTP: "smtp://smtp.mail.example.org:587"},
		"app@contoso.example": {Family: "microsoft", Flow: oauth.FlowClientCredentials, ClientID: "55555555-1111-2222-3333-444444444444",
			ClientSecret: "canary-app-secret", TokenURL: "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token",
			Scopes: []string{"https://outlook.office365.com/.default"}},
		"cert@contoso.example": {Family: "microsoft", Flow: oauth.FlowClientCredentials, ClientID: "66666666-1111-2222-3333-444444444444",
			TokenURL: "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token", Scopes: []string{"https://outlook.office365.com/.default"},
			CertificateFile: "/etc/proxy/client.pem", CertificateKeyFile: "/etc/proxy/client.key"},
		"device@outlook.com": {Family: "microsoft", Flow: oauth.FlowDeviceCode, ClientID: "77777777-1111-2222-3333-444444444444",
			Scopes: []string{"https://outlook.office.com/IMAP.AccessAsUser.All", "offline_access"}},
		"file@gmail.com": {Family: "gmail", Flow: oauth.FlowServiceAccount, ServiceAccountFile: "/etc/proxy/account.json",
			Scopes: []string{"https://mail.google.com/"}},
		"erin@example.net": {Family: "gmail", Flow: oauth.FlowServiceAccount, Scopes: []string{"https://mail.google.com/"},
			ServiceAccountKey: "{\n\"type\": \"service_account\",\n\"private_key\": \"canary-private-key\"\n}"},
	} {
		if got := found.account(t, mailbox).Provider; !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", mailbox, got, want)
		}
	}
	erin := found.account(t, "erin@example.net").Provider
	if len(found.Domains) != 1 || found.Domains[0].Name != "example.net" || !found.Domains[0].Provider.same(&erin) {
		t.Errorf("domains %+v", found.Domains)
	}
}

func TestEmailProxyListened(t *testing.T) {
	want := []string{
		"imap://127.0.0.1:2993", "smtp://127.0.0.1:2465", "smtp://[::1]:1587",
		"imaps://192.0.2.5:3993", "smtp+insecure://192.0.2.5:3587", "pop3+starttls://:1995",
	}
	if got := emailProxy(t, "").Listen; !slices.Equal(got, want) {
		t.Errorf("listened at %q", got)
	}
}

func TestEmailProxyCacheStore(t *testing.T) {
	bare, cache := read(t, "emailproxy-bare.config"), read(t, "emailproxy.cache")
	found, err := parseEmailProxy(bare, cache, password)
	if err != nil {
		t.Fatal(err)
	}
	if a := found.account(t, "Alice@gmail.com"); a.Refresh != "1//0canary-refresh-alice" {
		t.Errorf("problem %q", a.Problem)
	}
	if a := found.account(t, "erin@example.net"); a.Provider.Flow != oauth.FlowServiceAccount { // only the cache has this one
		t.Errorf("problem %q", a.Problem)
	}
	if found, err = parseEmailProxy(bare, nil, password); err != nil || !strings.Contains(found.account(t, "Alice@gmail.com").Problem, "no one has signed in") {
		t.Errorf("without its cache: %v", err)
	}
}

func TestEmailProxyOnly(t *testing.T) {
	if found := emailProxy(t, password, "ALICE@gmail.com"); len(found.Accounts) != 1 || len(found.Domains) != 0 {
		t.Errorf("%d accounts, %d domains", len(found.Accounts), len(found.Domains))
	}
	for _, c := range []struct {
		config, cache string
		only          []string
		says          string
	}{
		{"[IMAP-1993]\nserver_port = 993\n", "", nil, "the file has no accounts in use"},
		{"[a@b.example]\nclient_id = x\n", "", []string{"c@d.example"}, "the file has no account in use for c@d.example"},
		{"[your.email@gmail.com]\ntoken_url = x\nclient_id = *** your client id here ***\n", "", nil, "the file has no accounts in use"},
		{"client_id = x\n", "", nil, "line 1 "},
		{"[a@b.example]\nclient_id = x\n", "[", nil, "its cache store: line 1 "},
	} {
		var cache []byte
		if c.cache != "" {
			cache = []byte(c.cache)
		}
		if _, err := parseEmailProxy([]byte(c.config), cache, password, c.only...); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v", c.config, err)
		}
	}
}

func TestINI(t *testing.T) {
	f, err := readINI([]byte("\ufeff# comment\n[DEFAULT]\nshared = of all\n[one]\nKey: value = more\n  and on\n\n  # not this\n  further\n; nor this\nempty =\nlast=1\r\n[two]\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ section, key, want string }{
		{"one", "key", "value = more\nand on\n\nfurther"}, {"one", "empty", ""}, {"one", "last", "1"},
		{"two", "shared", "of all"}, {"two", "key", ""}, {"three", "shared", ""},
	} {
		if got := f.get(c.key, c.section); got != c.want {
			t.Errorf("[%s] %s is %q, want %q", c.section, c.key, got, c.want)
		}
	}
	for text, says := range map[string]string{
		"[a]\nsecret\n":             "line 2 is neither",
		"x = secret":                "line 1 is neither",
		"[a]\nb=secret\nb=secret\n": "line 3 has a key",
		"[a]\n[b]\n[a]\n":           "line 3 begins a section",
	} {
		if _, err := readINI([]byte(text)); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
