package tokens

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"authferry/tokens/oauth"
	"authferry/tokens/oauth/oauthtest"
	"authferry/tokens/store"
)

// fakeProvider returns a provider with this endpoint.
func fakeProvider(f *oauthtest.Endpoint) *oauth.Provider {
	return &oauth.Provider{
		Name: "fake", AuthURL: f.URL + "/auth", TokenURL: f.URL + "/token", ClientID: "client", ClientSecret: "secret-CANARY-client",
		Scopes: []string{"https://mail.google.com/"}, RedirectHost: "127.0.0.1", RefreshAhead: oauth.DefaultRefreshAhead,
	}
}

// googleApp returns a provider with a service account that this endpoint knows.
func googleApp(j *oauthtest.AppEndpoint) *oauth.Provider {
	return &oauth.Provider{
		Name: "workspace", Flow: oauth.FlowServiceAccount, TokenURL: j.URL + "/token", Scopes: []string{oauthtest.MailIs},
		ServiceAccount: &oauth.ServiceAccount{Email: oauthtest.Robot, KeyID: oauthtest.RobotKey, Client: oauthtest.RobotID, Key: oauthtest.TestKey()},
	}
}

// redirectTo is where consent pages send the browser.
const redirectTo = "http://127.0.0.1:34567"

// wantFailure checks a failure of one kind, whose text has no secret.
func wantFailure(t *testing.T, err, kind error, says string) {
	t.Helper()
	if err == nil || !errors.Is(err, kind) || !strings.Contains(err.Error(), says) {
		t.Fatalf("%v; want %v and %q", err, kind, says)
	}
	if strings.Contains(err.Error(), "CANARY") || strings.ContainsAny(err.Error(), "\r\n") {
		t.Errorf("%q", err)
	}
}

// wholeAccount has every field set that a store keeps.
func wholeAccount(mailbox string) *store.Account {
	at := time.Date(2026, 11, 21, 4, 5, 6, 789, time.UTC)
	return &store.Account{
		Mailbox: mailbox, Provider: "gmail",
		Token: oauth.Token{
			Access: "ya29.a", Refresh: "1//r", Minted: at, Expiry: at.Add(time.Hour),
			Scopes: []string{"https://mail.google.com/"}, RefreshExpiry: at.Add(7 * 24 * time.Hour),
		},
		Dead:    &store.Failure{At: at, Since: at, Reason: "answered 400 \"invalid_grant\"", Count: 2},
		Trouble: &store.Failure{At: at, Since: at, Reason: "no answer", Count: 9},
		Created: at, Connected: at,
	}
}

// sameAccount compares accounts, secrets included.
func sameAccount(t *testing.T, got, want *store.Account) {
	t.Helper()
	addresses := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	prefixes := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	if d := cmp.Diff(want, got, addresses, prefixes, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("the account differs (-want +got):\n%s", d)
	}
}

func mustStat(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}
