package console

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

// register is what the console remembers of people: one document of the store,
// so that what belongs together changes together, in all processes.
type register struct {
	Users    map[string]*user           `json:"users,omitempty"`    // by folded name
	Sessions map[string]*browserSession `json:"sessions,omitempty"` // by the hash of the cookie's value
	Links    map[string]*signInLink     `json:"links,omitempty"`    // by the hash of the link's end
}

const registerDocument = "console"

// role is what somebody may do: administrators everything, owners what is about
// their mailboxes.
type role string

const (
	roleAdministrator role = "administrator"
	roleOwner         role = "owner"
)

// user is somebody who may sign in.
type user struct {
	Name      string    `json:"name"`
	Role      role      `json:"role"`
	Mailboxes []string  `json:"mailboxes,omitempty"` // an owner's, canonical
	Password  verifier  `json:"password,omitzero"`   // empty: signs in by links only
	Created   time.Time `json:"created"`
	SignedIn  time.Time `json:"signed_in,omitzero"` // last
}

func (u *user) administrator() bool { return u != nil && u.Role == roleAdministrator }

// maySee tells whether a mailbox is somebody's affair.
func (u *user) maySee(mailbox string) bool {
	return u.administrator() || u != nil && slices.Contains(u.Mailboxes, mailbox)
}

// Administrator, MaySee and HasPassword are for templates.
func (u *user) Administrator() bool { return u.administrator() }

func (u *user) MaySee(mailbox string) bool { return u.maySee(mailbox) }

func (u *user) HasPassword() bool { return !u.Password.Empty() }

// verifier is kept of a password; [tokens.HashChosen] makes it. It is written
// out in JSON because the document is sealed, and in no other way.
type verifier struct{ secret.String }

func (v verifier) MarshalJSON() ([]byte, error) { return json.Marshal(v.Reveal()) }

func (v *verifier) UnmarshalJSON(b []byte) error {
	var s string
	err := json.Unmarshal(b, &s)
	v.String = secret.String(s)
	return err
}

// browserSession is a browser in which somebody is signed in.
type browserSession struct {
	User    string    `json:"user"` // folded name
	Created time.Time `json:"created"`
	Seen    time.Time `json:"seen"`
	From    string    `json:"from"`
	Browser string    `json:"browser"`
	ByLink  bool      `json:"by_link,omitempty"` // and not by a password

	key string // its hash, the key of the register
}

const (
	sessionIdle = 8 * time.Hour
	sessionLife = 7 * 24 * time.Hour
	// seenStep is how exactly it is noted when a session was last used: each
	// note is a write to the disk.
	seenStep = 10 * time.Minute
	// mostSessions bounds the sessions of one person; the oldest makes room.
	mostSessions = 20
)

func (s *browserSession) over(now time.Time) bool {
	return now.Sub(s.Created) >= sessionLife || now.Sub(s.Seen) >= sessionIdle
}

// Key names a session in forms. It opens nothing: only what it is the hash of does.
func (s *browserSession) Key() string { return s.key }

// signInLink lets its bearer in once, as somebody who need not exist yet.
type signInLink struct {
	Name      string    `json:"name"`
	Role      role      `json:"role"`
	Mailboxes []string  `json:"mailboxes,omitempty"`
	Expires   time.Time `json:"expires"`
}

// foldName makes names equal that people would take for each other.
func foldName(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// newToken makes what a cookie or a link holds: 256 bits.
func newToken() secret.String {
	b := make([]byte, 32)
	rand.Read(b)
	return secret.String(base64.RawURLEncoding.EncodeToString(b))
}

// hashToken is what is kept of a token. It needs neither salt nor many rounds,
// for a token cannot be guessed; and as the key of a map it is never compared
// letter by letter with anything that a peer could vary a letter of.
func hashToken(t secret.String) string {
	sum := sha256.Sum256([]byte(t.Reveal()))
	return hex.EncodeToString(sum[:])
}

func parseRegister(data []byte) (*register, error) {
	reg := &register{}
	if len(data) > 0 {
		if err := json.Unmarshal(data, reg); err != nil {
			return nil, errors.New("the console's register of people is damaged: remove the document " + registerDocument + " from the store, and make a link with `authferry console link`")
		}
	}
	if reg.Users == nil {
		reg.Users = map[string]*user{}
	}
	if reg.Sessions == nil {
		reg.Sessions = map[string]*browserSession{}
	}
	if reg.Links == nil {
		reg.Links = map[string]*signInLink{}
	}
	for key, s := range reg.Sessions {
		s.key = key
	}
	return reg, nil
}

// readRegister returns the register as it is.
func (c *Console) readRegister(ctx context.Context) (*register, error) {
	data, err := c.Vault.Document(ctx, registerDocument)
	if err != nil {
		return nil, fmt.Errorf("reading who may sign in to the console: %w", err)
	}
	return parseRegister(data)
}

// editRegister changes the register. An error of edit changes nothing.
func (c *Console) editRegister(ctx context.Context, edit func(*register) error) error {
	return editRegister(ctx, c.Vault, c.now(), edit)
}

func editRegister(ctx context.Context, vault *tokens.Vault, now time.Time, edit func(*register) error) error {
	return vault.UpdateDocument(ctx, registerDocument, func(old []byte) ([]byte, error) {
		reg, err := parseRegister(old)
		if err != nil {
			return nil, err
		}
		reg.prune(now)
		if err := edit(reg); err != nil {
			return nil, err
		}
		return json.Marshal(reg)
	})
}

// prune drops what is over.
func (reg *register) prune(now time.Time) {
	for key, s := range reg.Sessions {
		if s.over(now) || reg.Users[s.User] == nil {
			delete(reg.Sessions, key)
		}
	}
	for key, l := range reg.Links {
		if !now.Before(l.Expires) {
			delete(reg.Links, key)
		}
	}
}

// begin adds a session of somebody.
func (reg *register) begin(token secret.String, s browserSession) {
	own := reg.sessionsOf(s.User)
	for _, old := range own[min(len(own), mostSessions-1):] {
		delete(reg.Sessions, old.key)
	}
	s.key = hashToken(token)
	reg.Sessions[s.key] = &s
}

// sessionsOf are somebody's, the latest used first.
func (reg *register) sessionsOf(name string) []*browserSession {
	var own []*browserSession
	for _, s := range reg.Sessions {
		if s.User == name {
			own = append(own, s)
		}
	}
	slices.SortFunc(own, func(a, b *browserSession) int {
		if n := b.Seen.Compare(a.Seen); n != 0 {
			return n
		}
		return strings.Compare(a.key, b.key)
	})
	return own
}

// SignIn describes a link to be made.
type SignIn struct {
	Name   string        // who will be signed in; empty: "admin", or an owner's first mailbox
	Owner  []string      // the mailboxes, canonical; none: an administrator
	Lasts  time.Duration // 0: LinkLife
	Access Access
}

// LinkLife is how long a link is good for unless told otherwise.
const LinkLife = 15 * time.Minute

// NewLink makes a link that lets its bearer in once. Whoever it is for need not
// exist yet; who does keeps a password.
func NewLink(ctx context.Context, vault *tokens.Vault, l SignIn) (secret.String, time.Time, error) {
	return newLink(ctx, vault, time.Now(), l)
}

func newLink(ctx context.Context, vault *tokens.Vault, now time.Time, l SignIn) (secret.String, time.Time, error) {
	link := &signInLink{Name: strings.TrimSpace(l.Name), Role: roleAdministrator, Mailboxes: l.Owner, Expires: now.Add(max(l.Lasts, 0)).UTC()}
	if l.Lasts == 0 {
		link.Expires = now.Add(LinkLife).UTC()
	}
	if len(l.Owner) > 0 {
		link.Role = roleOwner
	}
	switch {
	case link.Name == "" && link.Role == roleOwner:
		link.Name = l.Owner[0]
	case link.Name == "":
		link.Name = "admin"
	}
	if err := checkName(link.Name); err != nil {
		return "", time.Time{}, err
	}
	token := newToken()
	err := editRegister(ctx, vault, now, func(reg *register) error {
		if have := reg.Users[foldName(link.Name)]; have != nil && have.Role != link.Role {
			return fmt.Errorf("%s is an %s of the console already, and cannot be an %s besides: choose another name", printable.Quote(have.Name), have.Role, link.Role)
		}
		reg.Links[hashToken(token)] = link
		return nil
	})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("making a link: %w", err)
	}
	return secret.String(l.Access.URL + "/enter/" + token.Reveal()), link.Expires, nil
}

// mostName is in bytes; an address has no more (RFC 5321 §4.5.3.1.3).
const mostName = 254

func checkName(name string) error {
	if len(name) > mostName || !printable.Is(name) {
		return errors.New("the name is too long, or has characters that cannot be printed: choose another")
	}
	return nil
}

// admit makes who a link is for, or gives whom it made before more mailboxes.
func (reg *register) admit(l *signInLink, now time.Time) *user {
	who := reg.Users[foldName(l.Name)]
	if who == nil {
		who = &user{Name: l.Name, Role: l.Role, Created: now.UTC()}
		reg.Users[foldName(l.Name)] = who
	}
	for _, mailbox := range l.Mailboxes {
		if !slices.Contains(who.Mailboxes, mailbox) {
			who.Mailboxes = append(who.Mailboxes, mailbox)
		}
	}
	return who
}
