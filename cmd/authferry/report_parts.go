package main

import (
	"bytes"
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"authferry/internal/admin"
	"authferry/internal/audit"
	"authferry/internal/config"
	"authferry/tokens"
	"authferry/tokens/store"
)

// mailbox writes what is known of a mailbox: neither the names of its passwords,
// which people chose, nor those of programs, which might be anything.
func (b *bundle) mailbox(ctx context.Context, vault *tokens.Vault, name string) {
	b.mask.number(name)
	a, err := vault.Account(ctx, name)
	if err != nil {
		b.line("%s: %v", name, err)
		return
	}
	b.mask.hide(a.Token.Access, a.Token.Refresh)
	v := viewOf(a, vault)
	b.line("%s: %s, provider %s", name, v.State, v.Provider)
	for _, f := range []struct {
		what string
		text string
	}{
		{"signed in as", v.SignIn},
		{"cause", string(v.Cause)},
		{"reason", v.Reason},
		{"since", utc(v.Since)},
		{"fix", v.Fix},
		{"needs a person", utc(v.NeedsPerson)},
		{"connected", utc(v.Connected)},
		{"token expires", utc(v.TokenExpires)},
		{"grant ends", utc(v.GrantEnds)},
		{"scopes", strings.Join(a.Token.Scopes, " ")},
	} {
		if f.text != "" {
			b.line("  %s: %s", f.what, f.text)
		}
	}
	for i, p := range a.Passwords {
		b.mask.hide(p.Key, p.Hash, p.Argon2)
		b.line("  password %d: %s", i+1, describePassword(p))
	}
}

// describePassword says what a password is good for and when it was.
func describePassword(p store.Password) string {
	kind := "generated"
	if !p.Argon2.Empty() {
		kind = "chosen"
	}
	protocols := "any protocol"
	if len(p.Protocols) > 0 {
		protocols = strings.Join(p.Protocols, ",")
	}
	parts := []string{kind, protocols}
	if len(p.Networks) > 0 {
		parts = append(parts, "certain networks")
	}
	if p.ReadOnly {
		parts = append(parts, "read-only")
	}
	if !p.Expires.IsZero() {
		parts = append(parts, "until "+utc(&p.Expires))
	}
	used := "never used"
	if u := p.LastUsed; !u.At.IsZero() {
		used = "last used " + utc(&u.At) + " over " + u.Protocol + " from " + nearness(u.From)
	}
	return strings.Join(append(parts, used), ", ")
}

// lastLogins is how many of the logins that were tried are told of.
const lastLogins = 50

// logins writes what became of the last logins, without the names that were
// given with them: a person may have typed a password there.
func (b *bundle) logins(c *config.Config) {
	b.section("logins")
	list, err := audit.Read(audit.DirIn(c.StateDir), audit.Query{Last: lastLogins})
	if err != nil {
		b.line("%v", err)
	}
	for _, e := range list {
		address, _ := netip.ParseAddr(e.Client)
		if from, err := netip.ParseAddrPort(e.Client); err == nil {
			address = from.Addr()
		}
		who := ""
		if e.Mailbox != "" {
			b.mask.number(e.Mailbox)
			who = " for " + e.Mailbox
		}
		b.line("%s  %s  %s%s, from %s, %d times", utc(&e.Time), e.Protocol, e.Result, who, nearness(address), e.Times())
	}
	b.line("the last %d", len(list))
}

// nearness is as much of an address as a report needs.
func nearness(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return "nowhere known"
	case a.IsLoopback():
		return "this machine"
	case a.IsPrivate(), a.IsLinkLocalUnicast():
		return "a private network"
	}
	return "the Internet"
}

// utc is a time for those who are elsewhere.
func utc(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// serverTime bounds the questions to the running server.
const serverTime = 20 * time.Second

// server writes what the running server says of itself.
func (b *bundle) server(ctx context.Context, c *config.Config) {
	b.section("server")
	if c.Admin == "" {
		b.line(`There is no admin socket to ask it on: admin = "none".`)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, serverTime)
	defer cancel()
	client := admin.NewClient(c.Admin)
	s, err := client.Status(ctx)
	if err != nil {
		b.line("%v", err)
		return
	}
	b.line("version %s, process %d, up since %s, configuration %s", s.Version, s.PID, utc(&s.Started), s.Config)
	for _, l := range s.Listeners {
		b.line("listens on %s (%s)", l.Address, l.URL)
	}
	for _, page := range []struct{ title, path string }{
		{"health", "/readyz"},
		{"metrics", "/metrics"},
		{"goroutines", "/debug/pprof/goroutine?debug=1"}, // functions, no arguments
	} {
		b.section(page.title)
		status, text, err := client.Fetch(ctx, page.path)
		if err != nil {
			b.line("%v", err)
			continue
		}
		if status != http.StatusOK {
			b.line("%d %s", status, http.StatusText(status))
		}
		b.line("%s", bytes.TrimSpace(text))
	}
}
