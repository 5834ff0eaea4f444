package main

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// reportOf runs authferry report, and returns what it wrote.
func reportOf(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(append([]string{"report"}, args...), strings.NewReader(""), &out, &errs); code != exitDone {
		t.Fatalf("exit code %d: %s", code, &errs)
	}
	return out.String()
}

// TestReportHoldsNoSecret: secrets are planted in every place that can hold one; the
// report has none of them, and no address.
func TestReportHoldsNoSecret(t *testing.T) {
	t.Setenv("CANARY_KEY", "CANARY-environment")
	s, _ := newShow(t)
	amend(t, s.configPath(), `[provider.other]
client_id = "other"
client_secret = "CANARY-client-secret"
auth_url = "https://127.0.0.1:1/auth"
token_url = "https://127.0.0.1:1/token"
scopes = ["mail"]
imap = "imaps://127.0.0.1:1"
[provider.other.auth_params]
hint = "CANARY-parameter"
[alert]
webhook = "https://127.0.0.1:1/CANARY-hook"
[alias]
canary-alias = "somebody@example.org"
`)
	for _, protocol := range protocols {
		mustLogin(t, protocol, s.address(protocol), demoMailbox, s.password.Reveal())
		s.login(protocol, "CANARY-guess")
		tryLogin(protocol, s.address(protocol), "CANARY-user", "CANARY-guess")
	}
	holdOne(t, s)
	a := s.account(t)
	plant := func(mailbox string) {
		err := s.store(t).Update(t.Context(), mailbox, func(b *store.Account) error {
			*b = *a
			b.Mailbox, b.SignIn, b.Provider = mailbox, "boss@example.com", "other"
			b.Token.Access, b.Token.Refresh = "CANARY-access", "CANARY-refresh"
			// As if a provider repeated secrets, and package tokens did not remove them.
			reason := "no CANARY-refresh, Q0FOQVJZLWFjY2Vzcw== or CANARY-client-secret for Other.Person@Example.COM; see https://example.org/?user=third%40example.org"
			b.Trouble = &store.Failure{At: time.Now(), Since: time.Now(), Cause: oauth.CauseOutage, Reason: reason}
			b.Passwords = []store.Password{{
				ID: "x", Name: "CANARY-name", Argon2: "CANARY-argon", Key: "CANARY-key-of-it", Hash: "CANARY-hash",
				LastUsed: store.Use{At: time.Now(), From: netip.MustParseAddr("203.0.113.77"), Protocol: "imap", Client: "CANARY-program"},
			}, {ID: "y", Name: "CANARY-other", Key: "CANARY-key", Hash: "CANARY-hash",
				LastUsed: store.Use{At: time.Now(), From: netip.MustParseAddr("127.0.0.1"), Protocol: "smtp"}}}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	plant("planted@example.org")
	plant("other.planted@example.org")
	key, err := os.ReadFile(filepath.Join(s.dir, "state", "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	text := reportOf(t, "--config", s.configPath())
	for name, secret := range map[string]string{
		"a canary": "CANARY", "a canary in lower case": "canary-", "a canary in base64": "Q0FOQVJZ", "the seal's key": strings.TrimSpace(string(key)),
		"the password": s.password.Reveal(), "the client's secret": s.gmail.ClientSecret,
		"the access token": a.Token.Access.Reveal(), "the refresh token": a.Token.Refresh.Reveal(),
		"the password's hash": a.Passwords[0].Hash.Reveal(), "an address of the Internet": "203.0.113.77",
		"demo": demoMailbox, "somebody": "somebody@", "somebody else": "@example", "the sign-in": "boss", "another": "third", "a person": "erson@",
		"planted": "planted",
	} {
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("it holds %s: %q", name, text[max(0, i-60):min(len(text), i+60)])
		}
	}
	for _, want := range []string{
		"authferry (devel)", "== configuration", "providers: gmail: client ", "providers: other: client other",
		"ok    store: ", "ok    gmail: imap tls", "fail  other: imap tcp",
		"mailbox-", ": fresh, provider gmail", ": unreachable, provider other", "cause: outage", "last used ", " from this machine", " from the Internet",
		"listens on 127.0.0.1:", "== health\n\nok", `authferry_sessions{protocol="imap"} 1`, `authferry_logins_total{protocol="smtp",result="bad_login"} 2`,
		"imap  ok for mailbox-", "smtp  bad login", ", from this machine, 1 times",
		"goroutine profile: total", "3 in all",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not hold %q", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	text = reportOf(t, "--config", s.configPath(), "--show-addresses")
	if !strings.Contains(text, "planted@example.org: unreachable") || strings.Contains(text, "CANARY") {
		t.Error("with addresses: they are not there, or secrets are")
	}
}

// holdOne keeps a session until the test ends.
func holdOne(t *testing.T, s *show) {
	t.Helper()
	h, err := hold("imap", s.service.Address("imap"), demoMailbox, s.password.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
}

// TestReportOfWhatIsBroken: the report is written with every fault, and names it.
func TestReportOfWhatIsBroken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := filepath.Join(dir, "config.toml")
	write := func(source string) {
		t.Helper()
		if err := os.WriteFile(config, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("listen = []\nstore = 'file:state'\n[provider.gmail]\nclient_secret = ['CANARY']\n")
	text := reportOf(t, "--config", config)
	for _, want := range []string{"listen: nothing to listen on", "client_secret: must be a text", "no authferry is running here"} {
		if !strings.Contains(text, want) {
			t.Errorf("a bad configuration: no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "CANARY") {
		t.Error("a bad configuration: a secret is in it")
	}

	write("store = 'file:config.toml'\nadmin = 'none'\n")
	text = reportOf(t, "--config", config)
	for _, want := range []string{"fail  store: ", "could not be opened", "the admin socket is disabled"} {
		if !strings.Contains(text, want) {
			t.Errorf("a store that is none: no %q in\n%s", want, text)
		}
	}

	var out, errs bytes.Buffer
	if code := run([]string{"report", "--config", config, "-o", config}, strings.NewReader(""), &out, &errs); code != exitFailed || !strings.Contains(errs.String(), "that does not exist") {
		t.Errorf("over a file that is there: %d, %s", code, &errs)
	}
	file := filepath.Join(dir, "report.txt")
	reportOf(t, "--config", config, "-o", file)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 || info.Size() == 0 {
		t.Errorf("the file: %v, %v", info, err)
	}
}
