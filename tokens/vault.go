package tokens

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"authferry/internal/printable"
	"authferry/internal/protocol"
	"authferry/internal/secret"
	"authferry/internal/xoauth2"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// ErrBadLogin: unknown mailbox; wrong, revoked or expired password; wrong network;
// protocol not allowed. It is deliberately one error for all of them: its text
// names the reason for the log, and must not be sent to the client. The other
// errors of [Vault] match ErrNeedsConsent, ErrRefused or ErrUnavailable of package
// oauth; treat an error that matches none of the four as ErrUnavailable.
var ErrBadLogin = errors.New("user name or password not accepted")

// Login is what a mail program offered.
type Login struct {
	// User as the program sent it: the mailbox in any case, an alias,
	// user%40host, or with POP3's "recent:" in front.
	User     string
	Password secret.String
	Protocol protocol.Protocol
	From     netip.Addr
	Client   string // the program's name for itself, if it sent one
}

func (l Login) Format(f fmt.State, _ rune) { io.WriteString(f, "login of "+printable.Quote(l.User)) }

// Trust is the right to send as a mailbox without a password, which an
// administrator grants to networks with devices that cannot log in.
type Trust struct {
	Mailbox string
	Name    string // takes the place of a password's in logs; may be empty
	Rules   PasswordRules
}

// Grant is the right to act for a mailbox on one connection to its provider.
type Grant struct {
	Mailbox string // canonical
	// User is the user name for the provider: Mailbox, with "recent:" in front if
	// a POP3 login had it.
	User         string
	PasswordID   string
	PasswordName string
	Password     PasswordRules
	Trusted      bool // without a password: see [Vault.AuthorizeTrusted]
	Provider     *oauth.Provider
	AccessToken  secret.String
	// Minted reports whether the token was issued for this login. If the provider
	// rejects a cached one, that is worth one [Vault.Renew].
	Minted bool
	Expiry time.Time
}

func (g Grant) Format(f fmt.State, _ rune) { io.WriteString(f, "grant for "+g.Mailbox) }

// Credentials returns what a login to a mail server of the provider sends.
func (g *Grant) Credentials(e oauth.Endpoint) xoauth2.Credentials {
	return xoauth2.Credentials{Mechanism: g.Provider.Mechanism, User: g.User, Token: g.AccessToken, Host: e.Host, Port: e.Port}
}

// PasswordRules are what a session under a local password may do.
type PasswordRules struct {
	ReadOnly        bool
	MessagesPerHour int // 0: any number
	Recipients      int // of one message; 0: any number
}

// Vault decides which clients may act for which mailboxes, and keeps the
// mailboxes' grants. Create it with [NewVault].
type Vault struct {
	store     store.Store
	settings  atomic.Pointer[Settings]
	log       *zap.Logger
	now       func() time.Time
	verifier  *verifier
	refresher *refresher
	keepAlive *keepAlive
	lastUsed  *lastUsed
	limits    *hourlyLimits
}

// NewVault returns a vault over a store. Close it, so that it writes what is in
// memory only.
func NewVault(s store.Store, settings Settings, log *zap.Logger) *Vault {
	if log == nil {
		log = zap.NewNop()
	}
	v := &Vault{store: s, log: log, now: time.Now, verifier: newVerifier(), lastUsed: newLastUsed(s, log)}
	clock := func() time.Time { return v.now() } // tests replace v.now
	v.refresher = newRefresher(s, log, clock)
	v.keepAlive = &keepAlive{store: s, settings: &v.settings, refresher: v.refresher, log: log, now: clock, pause: keepAlivePause}
	v.limits = &hourlyLimits{now: clock}
	v.settings.Store(settings.withFoldedAliases())
	return v
}

// Configure replaces the settings; logins under way keep the old ones. The next
// login tries again what failed with the old settings.
func (v *Vault) Configure(s Settings) {
	v.settings.Store(s.withFoldedAliases())
	v.refresher.reconfigured()
}

// Canonical maps a user name as programs send it (in any case, as user%40host, an
// alias, with POP3's "recent:" in front) to its mailbox and to the user name for
// the provider.
func (v *Vault) Canonical(user string) (mailbox, providerUser string) {
	return v.settings.Load().canonical(user)
}

// Authorize reports whether a program may act for a mailbox, and with which
// token. [ErrBadLogin] describes its errors.
func (v *Vault) Authorize(ctx context.Context, l Login) (*Grant, error) {
	s := v.settings.Load()
	mailbox, user := s.canonical(l.User)
	if l.Protocol != protocol.POP3 {
		user = mailbox // some programs send the POP3 user name over SMTP too
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
	v.lastUsed.note(mailbox, password.ID, store.Use{
		At: v.now().UTC().Round(0), From: l.From.Unmap(), Protocol: l.Protocol, Client: printable.Prefix(l.Client, maxClientName),
	})
	return v.withToken(ctx, s, a, Grant{
		Mailbox: mailbox, User: user, PasswordID: password.ID, PasswordName: password.Name,
		Password: PasswordRules{password.ReadOnly, password.MessagesPerHour, password.Recipients},
	})
}

// trustedNetwork takes the place of a password's name.
const trustedNetwork = "(trusted network)"

// AuthorizeTrusted is [Vault.Authorize] for a program in a network that the caller
// has found to be trusted. There is no password that could be wrong: a mailbox
// that is not connected is ErrNeedsConsent.
func (v *Vault) AuthorizeTrusted(ctx context.Context, trust Trust) (*Grant, error) {
	mailbox, _ := v.Canonical(trust.Mailbox)
	a, err := v.store.Get(ctx, mailbox)
	switch {
	case errors.Is(err, store.ErrNoMailbox):
		return nil, oauth.NewError(oauth.ErrNeedsConsent, mailbox, nil, oauth.CauseNoGrant, "there is no mailbox "+printable.Quote(mailbox))
	case err != nil:
		return nil, fmt.Errorf("%w: %w", oauth.ErrUnavailable, err)
	}
	name := trustedNetwork
	if trust.Name != "" {
		name = trust.Name + " " + trustedNetwork
	}
	return v.withToken(ctx, v.settings.Load(), a, Grant{
		Mailbox: mailbox, User: mailbox, Trusted: true,
		// The hourly limit is counted by it. IDs of passwords have no spaces.
		PasswordID: "trusted " + mailbox + " " + trust.Name, PasswordName: name, Password: trust.Rules,
	})
}

// withToken completes the grant of an allowed login.
func (v *Vault) withToken(ctx context.Context, s *Settings, a *store.Account, g Grant) (*Grant, error) {
	p, err := s.provider(a)
	if err != nil {
		return nil, err
	}
	result, err := v.refresher.token(ctx, p, a)
	if err != nil {
		return nil, err
	}
	g.Provider, g.AccessToken, g.Minted, g.Expiry = p, result.token.Access, result.issued, result.token.Expiry
	return &g, nil
}

// Renew replaces a cached access token that the provider rejected. If another
// login has replaced it already, Renew returns that token without a call.
func (v *Vault) Renew(ctx context.Context, g *Grant) (*Grant, error) {
	a, err := v.store.Get(ctx, g.Mailbox)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", oauth.ErrUnavailable, err)
	}
	p, err := v.settings.Load().provider(a)
	if err != nil {
		return nil, err
	}
	t, err := v.refresher.renew(ctx, p, a, g.AccessToken)
	if err != nil {
		return nil, err
	}
	renewed := *g
	renewed.Provider, renewed.AccessToken, renewed.Expiry, renewed.Minted = p, t.Access, t.Expiry, true
	return &renewed, nil
}

// Refused notes that the provider rejected even a token that was just issued. For
// a while logins then get the cached token as if it were new, so that each of
// them does not force a refresh.
func (v *Vault) Refused(g *Grant) { v.refresher.rejectedNew(g.Mailbox, g.AccessToken) }

// Revoked reports whether, since the login, the password of a session was revoked
// or expired, or its mailbox was removed. An error of the store revokes nothing.
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

// BeginMessage takes a place in the hourly limit of a session's password for a
// message that is about to be sent. If none is left, it returns nil and when to
// try again.
func (v *Vault) BeginMessage(g *Grant) (m *Message, again time.Duration) {
	return v.limits.begin(g.PasswordID, g.Password.MessagesPerHour)
}

// KeepAlive refreshes unused grants until ctx is done: providers drop a grant
// that is unused for months (see [oauth.Provider.KeepAlive]), and a mailbox kept
// for emergencies would fail in one. Any number of processes may do this for one
// store: the first one refreshes, the others find the grant refreshed.
func (v *Vault) KeepAlive(ctx context.Context) { v.keepAlive.run(ctx) }

// follower is a store that other servers write to and that announces changes.
type follower interface {
	// Follow listens for changes until ctx is done. It calls changed after an
	// account changed, and well when the store answers after an outage and from
	// time to time while it does. Both must return at once.
	Follow(ctx context.Context, well, changed func())
}

// followPause is the least time between two calls for changes: every refresh of a
// token is a change.
const followPause = 500 * time.Millisecond

// Follow watches what other machines write to the store until ctx is done; it
// returns at once for a store of one machine. It calls changed soon after another
// machine changed something. After an outage of the store it saves the tokens
// that could not be written, so that the other machines have them.
func (v *Vault) Follow(ctx context.Context, changed func()) {
	f, ok := v.store.(follower)
	if !ok {
		return
	}
	well, wellDone := worker(ctx, followPause, func() {
		if err := v.refresher.saveAll(ctx); err != nil && ctx.Err() == nil {
			v.log.Error("tokens could not be written down", zap.Error(err))
		}
	})
	tell, tellDone := worker(ctx, followPause, changed)
	f.Follow(ctx, well, tell)
	wellDone()
	tellDone()
}

// Close waits for refreshes under way, tries once more to save the tokens that
// the store did not take, writes when passwords were last used, and closes a
// store that has connections.
func (v *Vault) Close(ctx context.Context) error {
	if err := v.refresher.close(ctx); err != nil {
		return err
	}
	err := errors.Join(v.refresher.saveAll(ctx), v.lastUsed.close(ctx))
	if c, ok := v.store.(io.Closer); ok {
		err = errors.Join(err, c.Close())
	}
	return err
}

// worker calls do in its own goroutine soon after each kick, once for several kicks
// in a row, with a pause after each call. end waits for it.
func worker(ctx context.Context, pause time.Duration, do func()) (kick, end func()) {
	kicks, done := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(done)
		for range kicks {
			do()
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}()
	return func() {
			select {
			case kicks <- struct{}{}:
			default: // one is pending
			}
		}, func() {
			close(kicks)
			<-done
		}
}
