package main

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"authferry/internal/admin"
	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/internal/server"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// withVault runs a command that works on the store and is done.
func withVault(cmd *cobra.Command, do func(ctx context.Context, c *config.Config, vault *tokens.Vault) error) error {
	c, err := configFor(cmd)
	if err != nil {
		return err
	}
	vault, err := server.OpenVaultAsOwner(c)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	return errors.Join(do(ctx, c, vault), vault.Close(context.WithoutCancel(ctx)))
}

// mailboxView is a mailbox as it is shown, and the stable shape of --json.
type mailboxView struct {
	Mailbox      string         `json:"mailbox"`
	Provider     string         `json:"provider"`
	State        store.State    `json:"state"`
	SignIn       string         `json:"sign_in,omitempty"` // whose grant it is, if not the mailbox's own
	Cause        oauth.Cause    `json:"cause,omitempty"`   // of a state that is not good
	Meaning      string         `json:"meaning,omitempty"` // the cause in words
	Fix          string         `json:"fix,omitempty"`
	Page         string         `json:"page,omitempty"`   // to do it on
	Reason       string         `json:"reason,omitempty"` // what the provider said, or the network
	Since        *time.Time     `json:"since,omitempty"`
	NeedsPerson  *time.Time     `json:"needs_person,omitempty"` // when somebody has to do something; past: now
	TokenExpires *time.Time     `json:"token_expires,omitempty"`
	GrantEnds    *time.Time     `json:"grant_ends,omitempty"`
	Connected    *time.Time     `json:"connected,omitempty"`
	Passwords    []passwordView `json:"passwords"`
}

type passwordView struct {
	Name      string         `json:"name"`
	Protocols []string       `json:"protocols,omitempty"` // none: all
	Networks  []netip.Prefix `json:"networks,omitempty"`  // none: all
	Expires   *time.Time     `json:"expires,omitempty"`
	Expiry    expiry         `json:"expiry,omitempty"`
	passwordRules
	Created  *time.Time `json:"created,omitempty"`
	LastUsed *useView   `json:"last_used,omitempty"`
}

type useView struct {
	At       time.Time `json:"at"`
	From     string    `json:"from"`
	Protocol string    `json:"protocol"`
	Client   string    `json:"client,omitempty"`
}

func viewOf(a *store.Account, v *tokens.Vault) mailboxView {
	m := mailboxView{
		Mailbox: a.Mailbox, Provider: a.Provider, State: v.State(a),
		TokenExpires: given(a.Token.Expiry), GrantEnds: given(a.Token.RefreshExpiry), Connected: given(a.Connected),
		Passwords: []passwordView{},
	}
	m.SignIn = a.SignIn
	if f := a.Failure(); f != nil {
		m.Cause, m.Reason, m.Since = f.Cause, f.Reason, given(f.Since)
	}
	if advice, ok := v.Advice(a); ok {
		m.Meaning, m.Fix, m.Page = advice.Words, advice.Fix, advice.Page
	}
	at, _ := v.NeedsPerson(a)
	m.NeedsPerson = given(at)
	for _, p := range a.Passwords {
		view := passwordView{Name: p.Name, Protocols: p.Protocols, Networks: p.Networks, Expires: given(p.Expires), Created: given(p.Created),
			Expiry: expiryOf(p.Expires, time.Now()), passwordRules: passwordRules{p.ReadOnly, p.MessagesPerHour, p.Recipients}}
		if u := p.LastUsed; !u.At.IsZero() {
			view.LastUsed = &useView{u.At, u.From.String(), u.Protocol, u.Client}
		}
		m.Passwords = append(m.Passwords, view)
	}
	return m
}

// nudge tells the server that is running, if there is one, that a password or
// a mailbox is gone: its sessions end at once. Without it they end at the next
// sweep, so that nobody has to hear that it failed.
func nudge(ctx context.Context, c *config.Config) {
	if c.Admin != "" {
		_ = admin.NewClient(c.Admin).Sweep(ctx)
	}
}

// configForAdmin reads of a configuration only where the admin socket is: what
// a server runs with need not be what its file says by now, and the file may be
// the very thing that has to be mended.
func configForAdmin(cmd *cobra.Command) (*config.Config, error) {
	path, err := configOf(cmd)
	if err != nil {
		return nil, err
	}
	doc, root, err := config.OpenDocument(path)
	if err != nil {
		return nil, err
	}
	c := &config.Config{File: doc.File, Monitor: config.ReadMonitor(root)}
	c.ReadStore(root)
	c.Admin = config.ReadAdmin(root, c.Store)
	return c, nil
}

// adminClient asks the server that runs under a configuration.
func adminClient(c *config.Config) (*admin.Client, error) {
	if c.Admin == "" {
		return nil, hint.New(errors.New(`the admin socket is switched off: admin = "none"`), "change that in %s and restart authferry", c.File)
	}
	return admin.NewClient(c.Admin), nil
}

// notRunning adds what to do about a server that does not answer.
func notRunning(err error, c *config.Config) error {
	if errors.Is(err, admin.ErrNotRunning) {
		return hint.New(err, "start it with `authferry serve`, or name its configuration with --config (this is %s); only root and the user it runs as may ask it", c.File)
	}
	return err
}
