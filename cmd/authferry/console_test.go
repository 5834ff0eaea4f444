package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"authferry/internal/console"
)

// TestKeysHideSecrets: what the console shows of a configuration says where each
// value comes from, and no secret.
func TestKeysHideSecrets(t *testing.T) {
	program, err := os.Executable() // one that is there on every machine
	if err != nil {
		t.Fatal(err)
	}
	c := load(t, fmt.Sprintf(`hostname = "mx.example.org"
[provider.gmail]
client_id = "id"
client_secret = "CANARY-1"
proxy = "http://user:CANARY-2@proxy.example.org:3128"
[provider.ours]
like = "gmail"
token_command = [%[1]q, "CANARY-3"]
[alert]
webhook = "https://hooks.example.org/CANARY-4"
command = [%[1]q, "--token", "CANARY-5"]
after = "90m"
`, program))
	found := map[string]console.Setting{}
	for _, s := range c.keys {
		found[s.Key] = s
		if strings.Contains(s.Value, "CANARY") {
			t.Errorf("%s shows a secret: %s", s.Key, s.Value)
		}
	}
	for _, want := range []console.Setting{
		{Key: "hostname", Value: `"mx.example.org"`, Line: 1},
		{Key: "drain", Value: `"30s"`},
		{Key: "gate.window", Value: `"10m"`},
		{Key: "provider.gmail.client_secret", Value: "•••", Line: 4},
		{Key: "provider.gmail.proxy", Value: `"http://•••@proxy.example.org:3128"`, Line: 5},
		{Key: "provider.ours.token_command", Value: fmt.Sprintf("[%q, •••]", program), Line: 8},
		{Key: "alert.webhook", Value: "•••", Line: 10},
		{Key: "alert.after", Value: `"90m"`, Line: 12},
	} {
		if got := found[want.Key]; got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

// TestDatabaseIsShownWithoutSecrets: passwords may be in more than one place.
func TestDatabaseIsShownWithoutSecrets(t *testing.T) {
	for address, want := range map[string]string{
		"postgres://u:CANARY@db.example.org:5432/mail":                            "postgres://db.example.org:5432/mail",
		"postgres://db.example.org/mail?user=u&password=CANARY":                   "postgres://db.example.org/mail",
		"PostgreSQL://u:CANARY@db.example.org/mail?sslpassword=CANARY#CANARY":     "postgresql://db.example.org/mail",
		"postgresql://a.example.org:5432,b.example.org:5432/mail?password=CANARY": "postgresql://a.example.org:5432,b.example.org:5432/mail",
		"postgres://db.example.org:x/mail?password=CANARY":                        hiddenValue,
	} {
		if got := withoutUser(address); got != want {
			t.Errorf("%s is shown as %s, not %s", address, got, want)
		}
	}
}

// TestConsoleOfDemo: what the demo prints opens the console, with the mailbox
// and its logins in it.
func TestConsoleOfDemo(t *testing.T) {
	t.Parallel()
	s, log := newShow(t)
	s.login("imap", s.password.Reveal())
	var screen strings.Builder
	if err := s.screen(&screen); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(screen.String(), "\n"); lines > 24 {
		t.Errorf("the screen has %d lines", lines)
	}
	link := ""
	for line := range strings.SplitSeq(screen.String(), "\n") {
		if strings.Contains(line, "/enter/") {
			link = line
		}
	}
	at, token, _ := strings.Cut(link, "/enter/")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.PostForm(at+"/enter", url.Values{"token": {token}})
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if len(answer.Cookies()) != 1 {
		t.Fatalf("%s: no session", answer.Status)
	}
	for path, want := range map[string]string{
		"/": "Works", "/mailboxes/" + demoMailbox: "Settings for mail programs", "/configuration": "provider.gmail",
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.AddCookie(answer.Cookies()[0])
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || !strings.Contains(string(page), want) {
			t.Errorf("%s: %v, and no %q in %s", path, err, want, page)
		}
		a := s.account(t)
		for what, secret := range map[string]string{"client secret": s.gmail.ClientSecret, "access token": a.Token.Access.Reveal(), "refresh token": a.Token.Refresh.Reveal(), "password": s.password.Reveal()} {
			if strings.Contains(string(page), secret) {
				t.Errorf("%s shows the %s", path, what)
			}
		}
	}
	if strings.Contains(log.String(), token) || strings.Contains(log.String(), answer.Cookies()[0].Value) {
		t.Error("the log has the link or the session")
	}
}

// TestConsoleOverTLS: with https:// it has the certificate of the mail listeners.
func TestConsoleOverTLS(t *testing.T) {
	t.Parallel()
	s, _ := newShow(t)
	file := s.configPath()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	other := filepath.Join(dir, "config.toml")
	text := strings.Replace(string(source), `console = "http://`, `console = "https://`, 1)
	text = strings.Replace(text, "imap://", "imap+starttls://", 1)
	text = strings.ReplaceAll(text, `ca_file = "`, `ca_file = "`+filepath.Dir(file)+string(filepath.Separator))
	if err := os.WriteFile(other, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := loadConfig(other)
	if err != nil {
		t.Fatal(err)
	}
	second, err := startService(c, s.service.log, s.level)
	if err != nil {
		t.Fatal(err)
	}
	defer second.shutdown(t.Context())
	roots := x509.NewCertPool()
	authority, err := os.ReadFile(filepath.Join(c.store, "ca.pem"))
	if err != nil || !roots.AppendCertsFromPEM(authority) {
		t.Fatal("no authority", err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots}}}
	answer, err := client.Get("https://" + second.consoleAt + "/signin")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK || !strings.HasPrefix(second.access().URL, "https://") {
		t.Errorf("%s at %s", answer.Status, second.access().URL)
	}
}
