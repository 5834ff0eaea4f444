package tokens

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"go.uber.org/zap"
)

// The ways a login can fail here. Errors returned by [Vault] match one of them
// with errors.Is; anything else is to be treated as ErrUnavailable. Their text
// is for the log and for people, and never contains a secret.
var (
	// ErrBadLogin: unknown mailbox; wrong, revoked or expired password; wrong
	// network; protocol not allowed. Deliberately one error for all of them.
	ErrBadLogin = errors.New("user name or password not accepted")
	// ErrNeedsConsent: the grant is dead until a person connects the mailbox again.
	ErrNeedsConsent = errors.New("the mailbox must be connected again")
	// ErrRefused: the provider refuses for a reason that only a person can
	// mend, other than a dead grant (the OAuth client was deleted, say).
	ErrRefused = errors.New("the provider refused")
	// ErrUnavailable: the store or the token endpoint failed, was slow or is
	// throttling. Trying again later helps.
	ErrUnavailable = errors.New("temporarily unavailable")
)

// Login is what a mail program offered.
type Login struct {
	// User as the program sent it: the mailbox in any case, an alias,
	// user%40host, or with POP3's "recent:" in front.
	User     string
	Password Secret
	Protocol string // "imap", "pop3" or "smtp"
	From     netip.Addr
	Client   string // how the program named itself, if it did
}

// Grant is the right to act for a mailbox on one connection to its provider.
type Grant struct {
	Mailbox string // canonical
	// User is the name to give the provider: Mailbox, with "recent:" put back
	// where the login had it.
	User         string
	PasswordID   string
	PasswordName string
	Provider     *Provider
	AccessToken  Secret
	// Minted tells a cached token from one that this very login had refreshed:
	// a cached one that the provider refuses is worth one Renew.
	Minted bool
	Expiry time.Time
}

// Vault answers for a store of mailboxes. Create it with [NewVault].
type Vault struct{}

// Settings are what a configuration may change while the vault is in use.
type Settings struct {
	Providers map[string]*Provider // by name
	// Aliases are short user names for devices, each standing for a mailbox.
	Aliases map[string]string
}

// NewVault returns a vault over a store. Close it to write down what it has
// noted about the use of passwords.
func NewVault(store Store, s Settings, log *zap.Logger) *Vault { panic("unwritten") }

// Configure replaces the settings; logins under way keep the old ones.
func (v *Vault) Configure(s Settings) { panic("unwritten") }

// Close waits for refreshes under way and writes down when passwords were last used.
func (v *Vault) Close(ctx context.Context) error { panic("unwritten") }

// Authorize answers the one question: may this program act for this mailbox,
// and with which token? See the package errors for the ways it says no.
func (v *Vault) Authorize(ctx context.Context, l Login) (*Grant, error) { panic("unwritten") }

// Renew replaces a cached access token that the provider refused. If another
// login has replaced it already, that one is returned without a call.
func (v *Vault) Renew(ctx context.Context, g *Grant) (*Grant, error) { panic("unwritten") }

// Refused notes that the provider refused even a token just minted, so that
// logins do not force a refresh each for as long as that lasts.
func (v *Vault) Refused(g *Grant) { panic("unwritten") }

// Revoked tells whether the password behind a live session's grant has been
// revoked or has expired since, or its mailbox removed. A store that cannot be
// read revokes nothing.
func (v *Vault) Revoked(ctx context.Context, g *Grant) bool { panic("unwritten") }

// State names what a mailbox's grant can do now.
func (v *Vault) State(a *Account) State { panic("unwritten") }

// Connect keeps a new grant for a mailbox, together with the passwords it has.
func (v *Vault) Connect(ctx context.Context, mailbox, provider string, t *Token) error {
	panic("unwritten")
}

// PasswordSpec describes a local password to be made.
type PasswordSpec struct {
	Name      string
	Preset    Secret // taken exactly as given; empty: one is generated
	Length    int    // letters of a generated one, 12 or more; 0: 16
	Protocols []string
	Networks  []netip.Prefix
	Expires   time.Time
}

// AddPassword gives a mailbox one more local password and returns it. A name
// in use already is an error, as is a mailbox that is not connected.
func (v *Vault) AddPassword(ctx context.Context, mailbox string, spec PasswordSpec) (Secret, error) {
	panic("unwritten")
}

// RevokePassword forgets a local password by its name.
func (v *Vault) RevokePassword(ctx context.Context, mailbox, name string) error { panic("unwritten") }

// Canonical maps a user name as programs send it (any case, user%40host, an
// alias, POP3's "recent:" in front) to the mailbox it stands for and the name
// to give the provider.
func (v *Vault) Canonical(user string) (mailbox, providerUser string) { panic("unwritten") }
