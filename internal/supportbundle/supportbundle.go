// Package supportbundle collects what a bug report needs, without secrets: the
// version, the configuration in force, a check, the state of each mailbox, recent
// logins, and what the running server says of itself.
package supportbundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"

	"authferry/internal/admin"
	"authferry/internal/audit"
	"authferry/internal/buildinfo"
	"authferry/internal/check"
	"authferry/internal/config"
	"authferry/internal/protocol"
	"authferry/internal/secret"
	"authferry/internal/server"
	"authferry/internal/view"
	"authferry/tokens"
	"authferry/tokens/store"
)

// Options say what to collect.
type Options struct {
	Config        string // the configuration file
	ShowAddresses bool   // leave mail addresses as they are
	// AdminConfig reads of a configuration that cannot be loaded where the
	// running server is.
	AdminConfig func() (*config.Config, error)
}

// Collect returns the bundle as text. Something broken is what the bundle is for,
// so that only an interruption or a failure to close the store is an error.
func Collect(ctx context.Context, o Options) (string, error) {
	b := &supportBundle{mask: newMask(o.ShowAddresses)}
	if err := errors.Join(b.collect(ctx, o), ctx.Err()); err != nil {
		return "", err
	}
	return b.mask.apply(b.text.String()), nil
}

// supportBundle is a bundle being written. Its parts leave secrets out; the mask
// removes those that a peer repeated in an error.
type supportBundle struct {
	text bytes.Buffer
	mask *mask
}

func (b *supportBundle) section(title string) { fmt.Fprintf(&b.text, "\n== %s\n\n", title) }

func (b *supportBundle) line(format string, args ...any) { fmt.Fprintf(&b.text, format+"\n", args...) }

func (b *supportBundle) collect(ctx context.Context, o Options) error {
	b.line("A report of authferry, made at %s. Secrets are left out.", time.Now().UTC().Format(time.RFC3339))
	b.section("program")
	b.line("%s", buildinfo.Current())
	b.line("user id %d, descriptors %d", os.Getuid(), server.DescriptorLimit())
	b.section("configuration")
	c, err := config.Load(o.Config)
	if err != nil {
		b.line("%v", err)
		if c, err = o.AdminConfig(); err == nil {
			b.server(ctx, c)
		}
		return nil
	}
	b.configuration(c)
	// Before root becomes the owner of the store: the server answers both.
	b.server(ctx, c)
	return b.store(ctx, c)
}

// configuration writes the configuration in force, as serve logs it.
func (b *supportBundle) configuration(c *config.Config) {
	for _, p := range c.Settings.Providers {
		b.mask.hide(p.ClientSecret)
		if p.Proxy != nil {
			password, _ := p.Proxy.User.Password()
			b.mask.hide(secret.String(password))
		}
		for _, arg := range p.TokenCommand[min(1, len(p.TokenCommand)):] {
			b.mask.hide(secret.String(arg))
		}
	}
	for _, alias := range slices.Sorted(maps.Keys(c.Settings.Aliases)) {
		b.mask.number(c.Settings.Aliases[alias])
	}
	b.mask.hide(c.Postgres)
	for _, f := range c.Effective() {
		values := zapcore.NewMapObjectEncoder()
		f.AddTo(values)
		if list, ok := values.Fields[f.Key].([]any); ok {
			for _, v := range list {
				b.line("%s: %v", f.Key, v)
			}
			continue
		}
		b.line("%s: %v", f.Key, values.Fields[f.Key])
	}
	for _, w := range c.Warnings {
		b.line("warning: %s", w)
	}
}

// store writes what the store holds, and a check that opens no mailbox.
func (b *supportBundle) store(ctx context.Context, c *config.Config) (err error) {
	if c.Seal != "" {
		config.BorrowCredentials()
	}
	var vault *tokens.Vault
	defer func() {
		if vault != nil {
			err = errors.Join(err, vault.Close(context.WithoutCancel(ctx)))
		}
	}()
	b.section("check")
	check.Run(ctx, check.Subject{
		Config: c.File, Store: c.FileStore(), Seal: c.Seal, Providers: c.Settings.Providers, Hostname: c.Hostname,
		NoMailboxes: true,
		Open: func() (_ *tokens.Vault, err error) {
			vault, err = server.OpenVaultAsOwner(c)
			return vault, err
		},
	}, b.step)
	b.section("mailboxes")
	if vault == nil {
		b.line("The store could not be opened, or does not exist yet.")
		return nil
	}
	names, err := vault.Mailboxes(ctx)
	if err != nil {
		b.line("%v", err)
		return nil
	}
	for _, name := range names {
		b.mailbox(ctx, vault, name)
	}
	b.line("%d in all", len(names))
	b.logins(c)
	return nil
}

func (b *supportBundle) step(s check.Step) {
	about := s.Name
	if s.Provider != "" {
		about = s.Provider + ": " + about
	}
	b.line("%-4s  %s: %s", s.Result, about, s.Detail)
	if s.Fix != "" {
		b.line("      fix: %s", s.Fix)
	}
}

// mailbox writes the state of a mailbox, without the names of its passwords, which
// people chose, and of programs, which may be anything.
func (b *supportBundle) mailbox(ctx context.Context, vault *tokens.Vault, name string) {
	b.mask.number(name)
	a, err := vault.Account(ctx, name)
	if err != nil {
		b.line("%s: %v", name, err)
		return
	}
	b.mask.hide(a.Token.Access, a.Token.Refresh)
	v := view.Of(a, vault)
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

// describePassword returns what a password is limited to and when it was used.
func describePassword(p store.Password) string {
	kind := "generated"
	if !p.Argon2.Empty() {
		kind = "chosen"
	}
	protocols := "any protocol"
	if len(p.Protocols) > 0 {
		protocols = protocol.Join(p.Protocols, ",")
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
		used = "last used " + utc(&u.At) + " over " + string(u.Protocol) + " from " + nearness(u.From)
	}
	return strings.Join(append(parts, used), ", ")
}

// lastLogins bounds the number of logins in a bundle.
const lastLogins = 50

// logins writes the results of the last logins, without the user names: a person
// may have typed a password there.
func (b *supportBundle) logins(c *config.Config) {
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

// nearness returns as much of an address as a bundle needs.
func nearness(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return "an unknown address"
	case a.IsLoopback():
		return "this machine"
	case a.IsPrivate(), a.IsLinkLocalUnicast():
		return "a private network"
	}
	return "the Internet"
}

// utc formats a time for a reader in any time zone.
func utc(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// serverTime bounds the requests to the running server.
const serverTime = 20 * time.Second

// server writes what the running server says of itself.
func (b *supportBundle) server(ctx context.Context, c *config.Config) {
	b.section("server")
	if c.Admin == "" {
		b.line(`the admin socket is disabled: admin = "none".`)
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
