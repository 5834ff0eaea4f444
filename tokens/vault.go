package tokens

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"

	"authferry/internal/printable"
	"authferry/internal/secret"
	"authferry/internal/xoauth2"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// ErrBadLogin: unknown mailbox; wrong, revoked or expired password; wrong network;
// protocol not allowed. Deliberately one error for all of them: its text tells
// which, for the log, and is not for the peer. The other errors of [Vault] match
// ErrNeedsConsent, ErrRefused or ErrUnavailable; what matches none of the four is
// to be treated as ErrUnavailable.
var ErrBadLogin = errors.New("user name or password not accepted")

// Login is what a mail program offered.
type Login struct {
	// User as the program sent it: the mailbox in any case, an alias,
	// user%40host, or with POP3's "recent:" in front.
	User     string
	Password secret.String
	Protocol string // "imap", "pop3" or "smtp"
	From     netip.Addr
	Client   string // how the program named itself, if it did
}

// Grant is the right to act for a mailbox on one connection to its provider.
type Grant struct {
	Mailbox string // canonical
	// User is the name to give the provider: Mailbox, with "recent:" put back
	// where a POP3 login had it.
	User         string
	PasswordID   string
	PasswordName string
	Password     PasswordRules
	Trusted      bool // it came without a password: see [Vault.AuthorizeTrusted]
	Provider     *oauth.Provider
	AccessToken  secret.String
	// Minted tells a cached token from one that this very login had refreshed:
	// a cached one that the provider refuses is worth one Renew.
	Minted bool
	Expiry time.Time
}

// Credentials are what a login to a mail server of the provider sends.
func (g *Grant) Credentials(e oauth.Endpoint) xoauth2.Credentials {
	return xoauth2.Credentials{Mechanism: g.Provider.Mechanism, User: g.User, Token: g.AccessToken, Host: e.Host, Port: e.Port}
}

// PasswordRules are what a session under a local password may do.
type PasswordRules struct {
	ReadOnly        bool
	MessagesPerHour int // 0: any number
	Recipients      int // of one message; 0: any number
}

// Vault answers for a store of mailboxes. Create it with [NewVault].
type Vault struct {
	store    store.Store
	settings atomic.Pointer[Settings]
	log      *zap.Logger
	verifier *verifier
	uses     *uses
	hourly   hourly
	flights  singleflight.Group

	refreshes tally

	mu       sync.Mutex
	memories map[string]*memory
	closed   bool
	working  sync.WaitGroup // refreshes under way

	now       func() time.Time
	patience  time.Duration
	tendPause time.Duration
}

// Settings are what a configuration may change while the vault is in use.
type Settings struct {
	Providers map[string]*oauth.Provider // by name
	// Aliases are short user names for devices, each standing for a mailbox.
	Aliases map[string]string
	// Domains names, by domain, the provider that opens all its mailboxes
	// without a person (see [Flow.NeedsPerson]). A mailbox of such a domain is
	// enrolled when an administrator gives it a local password.
	Domains map[string]string
}

// NewVault returns a vault over a store. Close it to write down what it has
// noted about the use of passwords.
func NewVault(store store.Store, s Settings, log *zap.Logger) *Vault {
	if log == nil {
		log = zap.NewNop()
	}
	v := &Vault{
		store: store, log: log, verifier: newVerifier(), memories: map[string]*memory{},
		now: time.Now, patience: patience, tendPause: tendPause,
	}
	v.uses = newUses(v)
	v.settings.Store(s.withFoldedAliases())
	return v
}

// Configure replaces the settings; logins under way keep the old ones. What
// failed with the old settings is tried again at the next login.
func (v *Vault) Configure(s Settings) {
	v.settings.Store(s.withFoldedAliases())
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, m := range v.memories {
		m.cooling = coolDown{}
	}
}

// Canonical maps a user name as programs send it (any case, user%40host, an
// alias, POP3's "recent:" in front) to the mailbox it stands for and the name
// to give the provider.
func (v *Vault) Canonical(user string) (mailbox, providerUser string) {
	return v.settings.Load().canonical(user)
}

// Authorize answers the one question: may this program act for this mailbox,
// and with which token? See the package errors for the ways it says no.
func (v *Vault) Authorize(ctx context.Context, l Login) (*Grant, error) {
	s := v.settings.Load()
	mailbox, user := s.canonical(l.User)
	if l.Protocol != "pop3" {
		// Programs that take the POP3 user name for SMTP too.
		user = mailbox
	}
	a, err := v.store.Get(ctx, mailbox)
	if errors.Is(err, store.ErrNoMailbox) {
		a, err = &store.Account{Mailbox: mailbox}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", oauth.ErrUnavailable, err)
	}
	password, err := v.verifier.verify(ctx, a, l, v.now())
	if errors.Is(err, ErrBadLogin) && a.Unconfirmed {
		// The password may have been added on another server since.
		err = fmt.Errorf("%w: the login seems wrong (%v), but the store cannot be reached to confirm that", oauth.ErrUnavailable, err)
	}
	if err != nil {
		return nil, err
	}
	v.uses.note(mailbox, password.ID, store.Use{At: v.now().UTC().Round(0), From: l.From.Unmap(), Protocol: l.Protocol, Client: printable.Prefix(l.Client, mostClient)})
	p, err := s.provider(a)
	if err != nil {
		return nil, err
	}
	t, fresh, err := v.token(ctx, p, a)
	if err != nil {
		return nil, err
	}
	return &Grant{
		Mailbox: mailbox, User: user, PasswordID: password.ID, PasswordName: password.Name,
		Password: PasswordRules{password.ReadOnly, password.MessagesPerHour, password.Recipients},
		Provider: p, AccessToken: t.Access, Minted: fresh, Expiry: t.Expiry,
	}, nil
}

// provider is the one an account lives at.
func (s *Settings) provider(a *store.Account) (*oauth.Provider, error) {
	p := s.Providers[a.Provider]
	if a.Provider == "" {
		return nil, oauth.NewError(oauth.ErrNeedsConsent, a.Mailbox, nil, oauth.CauseNoGrant, a.Mailbox+" was removed, with its passwords kept")
	}
	if p == nil {
		return nil, &oauth.Error{
			Kind: oauth.ErrRefused, Reason: fmt.Sprintf("%s is connected to the provider %s, which is not configured", a.Mailbox, printable.Quote(a.Provider)),
			Advice: oauth.Advice{
				Words: "the mailbox's provider is no longer in authferry's configuration",
				Fix:   fmt.Sprintf("add a table [provider.%s], or connect the mailbox to another one", a.Provider),
			},
		}
	}
	if err := s.vouches(a); err != nil {
		return nil, err
	}
	return p, nil
}

// Renew replaces a cached access token that the provider refused. If another
// login has replaced it already, that one is returned without a call.
func (v *Vault) Renew(ctx context.Context, g *Grant) (*Grant, error) {
	a, err := v.store.Get(ctx, g.Mailbox)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", oauth.ErrUnavailable, err)
	}
	p, err := v.settings.Load().provider(a)
	if err != nil {
		return nil, err
	}
	unusable := func(t oauth.Token) bool {
		return t.Access == g.AccessToken || t.Left(v.now()) < leastLife
	}
	t := a.Token
	if unusable(t) {
		if t, err = v.replace(ctx, g, p, a, unusable); err != nil {
			return nil, err
		}
	}
	renewed := *g
	renewed.Provider, renewed.AccessToken, renewed.Expiry, renewed.Minted = p, t.Access, t.Expiry, true
	return &renewed, nil
}

// replace waits for a refresh made because the provider refused the token of g.
func (v *Vault) replace(ctx context.Context, g *Grant, p *oauth.Provider, a *store.Account, unusable func(oauth.Token) bool) (oauth.Token, error) {
	var cooling error
	v.recall(g.Mailbox, func(m *memory) {
		m.distrusted = g.AccessToken
		if m.unwritten == nil {
			cooling = m.coolingError(a, v.now())
		}
	})
	if cooling != nil {
		return oauth.Token{}, cooling
	}
	select {
	case r := <-v.refresh(g.Mailbox+" "+g.AccessToken.Reveal(), errand{g.Mailbox, a.Provider, p, false, unusable}):
		got, _ := r.Val.(minted)
		return got.token, r.Err
	case <-ctx.Done():
		return oauth.Token{}, leftWaiting(ctx, g.Mailbox)
	}
}

// Revoked tells whether the password behind a live session's grant has been
// revoked or has expired since, or its mailbox removed. A store that cannot be
// read revokes nothing.
func (v *Vault) Revoked(ctx context.Context, g *Grant) bool {
	a, err := v.store.Get(ctx, g.Mailbox)
	if err != nil {
		return errors.Is(err, store.ErrNoMailbox)
	}
	if a.Provider == "" { // removed, with its passwords kept
		return true
	}
	if g.Trusted {
		return false
	}
	for _, p := range a.Passwords {
		if p.ID == g.PasswordID {
			return expired(&p, v.now())
		}
	}
	return true
}

func (l Login) Format(f fmt.State, _ rune) { io.WriteString(f, "login of "+printable.Quote(l.User)) }

func (g Grant) Format(f fmt.State, _ rune) { io.WriteString(f, "grant for "+g.Mailbox) }
