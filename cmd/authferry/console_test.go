package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"authferry/internal/config"
	"authferry/internal/server"
)

// TestConsoleOfDemo: the link that the demo prints opens the console, which shows the
// mailbox and its logins.
func TestConsoleOfDemo(t *testing.T) {
	t.Parallel()
	s, log := newShow(t)
	s.login("imap", s.password.Reveal())
	var screen strings.Builder
	if err := s.banner(&screen); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(screen.String(), "\n"); lines > 24 {
		t.Errorf("the banner has %d lines", lines)
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

// TestConsoleOverTLS: with https://, the console has the certificate of the mail
// listeners.
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
	c, err := config.Load(other)
	if err != nil {
		t.Fatal(err)
	}
	second, err := server.Start(c, s.service.Log, s.level)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Shutdown(t.Context())
	roots := x509.NewCertPool()
	authority, err := os.ReadFile(filepath.Join(c.StateDir, "ca.pem"))
	if err != nil || !roots.AppendCertsFromPEM(authority) {
		t.Fatal("no authority", err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots}}}
	answer, err := client.Get(second.Access().URL + "/signin")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK || !strings.HasPrefix(second.Access().URL, "https://") {
		t.Errorf("%s at %s", answer.Status, second.Access().URL)
	}
}
