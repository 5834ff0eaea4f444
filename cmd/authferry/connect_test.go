package main

import (
	"strings"
	"testing"

	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

func TestChooseProvider(t *testing.T) {
	provider := func(names ...string) map[string]*oauth.Provider {
		list := map[string]*oauth.Provider{}
		for _, name := range names {
			list[name] = &oauth.Provider{Name: name}
		}
		return list
	}
	domains := map[string]string{"example.com": "workspace"}
	connected := &store.Account{Mailbox: "you@example.org", Provider: "microsoft"}
	for _, test := range []struct {
		name      string
		providers map[string]*oauth.Provider
		account   *store.Account
		mailbox   string
		named     string
		want      string // a provider, or what is said instead
	}{
		{"named", provider("gmail", "microsoft", "workspace"), connected, "you@example.com", "microsoft", "microsoft"},
		{"the domain's", provider("gmail", "microsoft", "workspace"), connected, "you@example.com", "", "workspace"},
		{"of another domain", provider("gmail", "workspace"), nil, "you@not-example.com", "", "gmail"},
		{"the one it had", provider("gmail", "microsoft"), connected, "you@example.org", "", "microsoft"},
		{"the one it had is gone", provider("gmail"), connected, "you@example.org", "", `no provider "microsoft"`},
		{"its passwords were kept", provider("gmail", "microsoft"), &store.Account{}, "you@example.org", "", "gmail"},
		{"gmail", provider("gmail", "microsoft"), nil, "you@example.org", "", "gmail"},
		{"the only one", provider("dovecot"), nil, "you@example.org", "", "dovecot"},
		{"one of several", provider("dovecot", "microsoft"), nil, "you@example.org", "", "could be any of dovecot, microsoft"},
		{"none", provider(), nil, "you@example.org", "", `no provider "gmail"`},
		{"unknown", provider("gmail"), nil, "you@example.org", "gmial", `no provider "gmial"`},
	} {
		c := &config.Config{File: "config.toml", Settings: tokens.Settings{Providers: test.providers, Domains: domains}}
		p, err := chooseProvider(c, test.account, test.mailbox, test.named)
		got := ""
		if p != nil {
			got = p.Name
		} else if hint.Of(err) != "" && exitCode(err) == exitUsage {
			got = err.Error()
		}
		if p != nil && got != test.want || p == nil && !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
