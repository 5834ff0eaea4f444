// Package people keeps who may use the web console: its users with their
// passwords, browser sessions and sign-in links, and the invitations by which
// owners connect their mailboxes.
//
// The data stands in two documents of the store, so that all processes on one
// store share it. Cookies and links are kept as hashes only. The package knows
// nothing of HTTP.
package people

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"authferry/internal/printable"
	"authferry/internal/secret"
	"authferry/tokens"
)

// Directory holds the users of the console. It is one document of the store, so
// that related entries change in one step.
type Directory struct {
	Users    map[string]*User    `json:"users,omitempty"`    // by folded name
	Sessions map[string]*Session `json:"sessions,omitempty"` // by the hash of the cookie's value
	Links    map[string]*Link    `json:"links,omitempty"`    // by the hash of the link's token
}

// UsersDocument is the store's name for the [Directory].
const UsersDocument = "console"

// Role says what a user may do.
type Role string

const (
	Administrator Role = "administrator" // everything
	Owner         Role = "owner"         // everything about their own mailboxes
)

// User may sign in to the console.
type User struct {
	Name      string    `json:"name"`
	Role      Role      `json:"role"`
	Mailboxes []string  `json:"mailboxes,omitempty"` // an owner's, canonical
	Password  Verifier  `json:"password,omitzero"`   // empty: signs in by links only
	Created   time.Time `json:"created"`
	SignedIn  time.Time `json:"signed_in,omitzero"` // most recently
}

// Administrator reports whether the user is an administrator; nil is not.
func (u *User) Administrator() bool { return u != nil && u.Role == Administrator }

// MaySee reports whether the user may see and change a mailbox.
func (u *User) MaySee(mailbox string) bool {
	return u.Administrator() || u != nil && slices.Contains(u.Mailboxes, mailbox)
}

// HasPassword reports whether the user can sign in without a link.
func (u *User) HasPassword() bool { return !u.Password.Hash.Empty() }

// Verifier is the hash of a password, from [tokens.HashChosen]. JSON holds it in
// full, which is safe in the store alone: the document is sealed.
type Verifier struct{ Hash secret.String }

// String keeps loggers from the JSON, which they prefer to a field's own methods.
func (v Verifier) String() string { return v.Hash.String() }

// Format overrides every verb, as [secret.String.Format] does.
func (v Verifier) Format(f fmt.State, verb rune) { v.Hash.Format(f, verb) }

// MarshalJSON writes the hash out.
func (v Verifier) MarshalJSON() ([]byte, error) { return json.Marshal(v.Hash.Reveal()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (v *Verifier) UnmarshalJSON(b []byte) error {
	var s string
	err := json.Unmarshal(b, &s)
	v.Hash = secret.String(s)
	return err
}

// Session is a browser in which a user is signed in.
type Session struct {
	User    string    `json:"user"` // folded name
	Created time.Time `json:"created"`
	Seen    time.Time `json:"seen"`
	From    string    `json:"from"`
	Browser string    `json:"browser"`
	ByLink  bool      `json:"by_link,omitempty"` // not by a password

	key string // the hash of its token, its key in the directory
}

const (
	// SessionIdle is how long a session lasts without use, SessionLife at most.
	SessionIdle = 8 * time.Hour
	SessionLife = 7 * 24 * time.Hour
	// seenStep is the precision of [Session.Seen]: each update is a write to the
	// disk.
	seenStep = 10 * time.Minute
	// maxSessions bounds the sessions of one user; the oldest is dropped first.
	maxSessions = 20
)

// Expired reports whether a session no longer counts.
func (s *Session) Expired(now time.Time) bool {
	return now.Sub(s.Created) >= SessionLife || now.Sub(s.Seen) >= SessionIdle
}

// Stale reports whether the use of a session needs to be written down.
func (s *Session) Stale(now time.Time) bool { return now.Sub(s.Seen) >= seenStep }

// Key names a session in forms. It is a hash, so it signs in nowhere.
func (s *Session) Key() string { return s.key }

// Link signs its bearer in once, as a user that need not exist yet.
type Link struct {
	Name      string    `json:"name"`
	Role      Role      `json:"role"`
	Mailboxes []string  `json:"mailboxes,omitempty"`
	Expires   time.Time `json:"expires"`
}

// FoldName returns the form in which names are compared.
func FoldName(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// NewToken returns a secret for a cookie or a link: 256 random bits.
func NewToken() secret.String {
	b := make([]byte, 32)
	rand.Read(b)
	return secret.String(base64.RawURLEncoding.EncodeToString(b))
}

// HashToken returns what is kept of a token. A token cannot be guessed, so its
// hash needs neither salt nor many rounds. As the key of a map it is not compared
// in constant time either: a client cannot choose the bytes of a hash.
func HashToken(t secret.String) string {
	sum := sha256.Sum256([]byte(t.Reveal()))
	return hex.EncodeToString(sum[:])
}

// maxName is in bytes; an address has no more (RFC 5321 §4.5.3.1.3).
const maxName = 254

// CheckName refuses names that cannot be shown.
func CheckName(name string) error {
	if len(name) > maxName || !printable.Is(name) {
		return errors.New("the name is too long, or has characters that cannot be printed: choose another")
	}
	return nil
}

func parseDirectory(data []byte) (*Directory, error) {
	d := &Directory{}
	if len(data) > 0 {
		if err := json.Unmarshal(data, d); err != nil {
			return nil, errors.New("the console's list of users is damaged: remove the document " + UsersDocument + " from the store, and make a link with `authferry console link`")
		}
	}
	if d.Users == nil {
		d.Users = map[string]*User{}
	}
	if d.Sessions == nil {
		d.Sessions = map[string]*Session{}
	}
	if d.Links == nil {
		d.Links = map[string]*Link{}
	}
	for key, s := range d.Sessions {
		s.key = key
	}
	return d, nil
}

// HasAdministrator reports whether an administrator has ever signed in.
func (d *Directory) HasAdministrator() bool {
	for _, u := range d.Users {
		if u.Administrator() {
			return true
		}
	}
	return false
}

// Prune drops sessions and links that have expired, and sessions without a user.
func (d *Directory) Prune(now time.Time) {
	for key, s := range d.Sessions {
		if s.Expired(now) || d.Users[s.User] == nil {
			delete(d.Sessions, key)
		}
	}
	for key, l := range d.Links {
		if !now.Before(l.Expires) {
			delete(d.Links, key)
		}
	}
}

// SignedIn returns the session of a token and its user, or nil.
func (d *Directory) SignedIn(token secret.String, now time.Time) (*Session, *User) {
	s := d.Sessions[HashToken(token)]
	if s == nil || s.Expired(now) || d.Users[s.User] == nil {
		return nil, nil
	}
	return s, d.Users[s.User]
}

// Begin adds a session.
func (d *Directory) Begin(token secret.String, s Session) {
	own := d.SessionsOf(s.User)
	for _, old := range own[min(len(own), maxSessions-1):] {
		delete(d.Sessions, old.key)
	}
	s.key = HashToken(token)
	d.Sessions[s.key] = &s
}

// SessionsOf returns the sessions of a user, the last used first.
func (d *Directory) SessionsOf(name string) []*Session {
	var own []*Session
	for _, s := range d.Sessions {
		if s.User == name {
			own = append(own, s)
		}
	}
	slices.SortFunc(own, func(a, b *Session) int {
		if n := b.Seen.Compare(a.Seen); n != 0 {
			return n
		}
		return strings.Compare(a.key, b.key)
	})
	return own
}

// Remove removes a user with their sessions and links. name is folded.
func (d *Directory) Remove(name string) {
	delete(d.Users, name)
	for key, s := range d.Sessions {
		if s.User == name {
			delete(d.Sessions, key)
		}
	}
	for key, l := range d.Links {
		if FoldName(l.Name) == name {
			delete(d.Links, key)
		}
	}
}

// ErrLink reports that a link signs no one in.
var ErrLink = errors.New("the link has been used, has expired or was never made")

// Redeem uses up a link: it creates the link's user, or adds the link's mailboxes
// to the user it created before.
func (d *Directory) Redeem(token secret.String, now time.Time) (*User, error) {
	key := HashToken(token)
	l := d.Links[key]
	if l == nil || !now.Before(l.Expires) {
		return nil, ErrLink
	}
	who := d.Users[FoldName(l.Name)]
	if who != nil && who.Role != l.Role {
		return nil, ErrLink // the name has become an administrator's since: an owner's link must not open it
	}
	delete(d.Links, key)
	if who == nil {
		who = &User{Name: l.Name, Role: l.Role, Created: now.UTC()}
		d.Users[FoldName(l.Name)] = who
	}
	for _, mailbox := range l.Mailboxes {
		if !slices.Contains(who.Mailboxes, mailbox) {
			who.Mailboxes = append(who.Mailboxes, mailbox)
		}
	}
	return who, nil
}

// UserStore reads and changes the [Directory] in the store.
type UserStore struct {
	Vault *tokens.Vault
	Now   func() time.Time
}

// Read returns the directory as it is.
func (s UserStore) Read(ctx context.Context) (*Directory, error) {
	data, err := s.Vault.Document(ctx, UsersDocument)
	if err != nil {
		return nil, fmt.Errorf("reading who may sign in to the console: %w", err)
	}
	return parseDirectory(data)
}

// Edit changes the directory. An error of change changes nothing.
func (s UserStore) Edit(ctx context.Context, change func(*Directory) error) error {
	return s.Vault.UpdateDocument(ctx, UsersDocument, func(old []byte) ([]byte, error) {
		d, err := parseDirectory(old)
		if err != nil {
			return nil, err
		}
		d.Prune(s.Now())
		if err := change(d); err != nil {
			return nil, err
		}
		return json.Marshal(d)
	})
}

// LinkOptions describes a sign-in link to make.
type LinkOptions struct {
	Name  string        // of the user; empty: "admin", or an owner's first mailbox
	Owner []string      // the mailboxes of an owner, canonical; none: an administrator
	Lasts time.Duration // 0: LinkLife
	URL   string        // the console's, without a slash at its end
}

// LinkLife is how long a link is valid by default.
const LinkLife = 15 * time.Minute

// NewLink makes a link that signs its bearer in once. The user need not exist;
// an existing one keeps their password.
func NewLink(ctx context.Context, vault *tokens.Vault, o LinkOptions) (link secret.String, expires time.Time, err error) {
	return UserStore{vault, time.Now}.NewLink(ctx, o)
}

// NewLink is [NewLink] by the clock of the store.
func (s UserStore) NewLink(ctx context.Context, o LinkOptions) (secret.String, time.Time, error) {
	lasts := max(o.Lasts, 0)
	if o.Lasts == 0 {
		lasts = LinkLife
	}
	link := &Link{Name: strings.TrimSpace(o.Name), Role: Administrator, Mailboxes: o.Owner, Expires: s.Now().Add(lasts).UTC()}
	if len(o.Owner) > 0 {
		link.Role = Owner
	}
	switch {
	case link.Name == "" && link.Role == Owner:
		link.Name = o.Owner[0]
	case link.Name == "":
		link.Name = "admin"
	}
	if err := CheckName(link.Name); err != nil {
		return "", time.Time{}, err
	}
	token := NewToken()
	err := s.Edit(ctx, func(d *Directory) error {
		if have := d.Users[FoldName(link.Name)]; have != nil && have.Role != link.Role {
			return fmt.Errorf("%s is already an %s of the console and cannot be an %s as well: choose another name", printable.Quote(have.Name), have.Role, link.Role)
		}
		d.Links[HashToken(token)] = link
		return nil
	})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("making a link: %w", err)
	}
	return secret.String(o.URL + "/enter/" + token.Reveal()), link.Expires, nil
}
