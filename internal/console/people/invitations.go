package people

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"authferry/internal/address"
	"authferry/internal/protocol"
	"authferry/internal/secret"
	"authferry/tokens"
)

const (
	// InvitationLife is how long a link is valid by default: over a weekend.
	InvitationLife = 72 * time.Hour
	// MaxInvitationLife bounds it: everyone who reads the mail with the link, now
	// or later, can use it.
	MaxInvitationLife = 30 * 24 * time.Hour
	// invitationMemory is how long an invitation that has ended stays listed.
	invitationMemory = 90 * 24 * time.Hour
	// maxInvitations keeps the document well below the store's limit.
	maxInvitations = 1000

	// InvitationsDocument is the store's name for the list of invitations.
	InvitationsDocument = "invitations"
)

// Invitation is a link by which the owner of a mailbox connects it, once, without
// any other right here. The bearer still has to sign in to the mailbox at its
// provider, which proves that it is theirs.
type Invitation struct {
	ID   string `json:"id"`   // for lists; not a secret
	Hash string `json:"hash"` // of the link's token

	Mailbox  string `json:"mailbox,omitempty"` // to connect; empty: any of Domain
	Domain   string `json:"domain,omitempty"`
	Provider string `json:"provider"`
	SignIn   string `json:"sign_in,omitempty"` // who signs in for a shared mailbox
	Offer    Offer  `json:"offer"`

	By      string    `json:"by"` // the user who invites, as shown to the invited
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Revoked time.Time `json:"revoked,omitzero"`

	Used   time.Time  `json:"used,omitzero"`
	UsedBy string     `json:"used_by,omitempty"` // the mailbox that was connected
	From   netip.Addr `json:"from,omitzero"`     // the browser's address
}

// Offer is the local password that comes with an invitation.
type Offer struct {
	Name      string              `json:"name,omitempty"` // empty: no password, the grant only
	Protocols []protocol.Protocol `json:"protocols,omitempty"`
	Networks  []netip.Prefix      `json:"networks,omitempty"`
	Days      int                 `json:"days,omitempty"` // of validity; 0: unlimited
	ReadOnly  bool                `json:"read_only,omitempty"`

	MessagesPerHour int `json:"messages_per_hour,omitempty"`
	Recipients      int `json:"recipients,omitempty"`
}

// Kind returns what a password that is not read-only may do, as the end of a
// text's key: "mayread", "maysend" or "mayboth".
func (o Offer) Kind() string {
	sends := protocol.Allowed(o.Protocols, protocol.SMTP)
	switch {
	case sends && len(o.Protocols) == 1:
		return "maysend"
	case sends:
		return "mayboth"
	}
	return "mayread"
}

// Spec returns the password to make now.
func (o *Offer) Spec(now time.Time) tokens.PasswordSpec {
	spec := tokens.PasswordSpec{
		Name: o.Name, Protocols: o.Protocols, Networks: o.Networks, ReadOnly: o.ReadOnly,
		MessagesPerHour: o.MessagesPerHour, Recipients: o.Recipients,
	}
	if o.Days > 0 {
		spec.Expires = now.AddDate(0, 0, o.Days)
	}
	return spec
}

// InvitationState says whether an invitation can be used, and why not.
type InvitationState string

const (
	InvitationOpen    InvitationState = "open"
	InvitationUsed    InvitationState = "used"
	InvitationRevoked InvitationState = "revoked"
	InvitationExpired InvitationState = "expired"
)

// State returns the state at a time.
func (i *Invitation) State(now time.Time) InvitationState {
	switch {
	case !i.Used.IsZero():
		return InvitationUsed
	case !i.Revoked.IsZero():
		return InvitationRevoked
	case !now.Before(i.Expires):
		return InvitationExpired
	}
	return InvitationOpen
}

// ended returns when an invitation ended; zero: it is open.
func (i *Invitation) ended(now time.Time) time.Time {
	return map[InvitationState]time.Time{
		InvitationUsed: i.Used, InvitationRevoked: i.Revoked, InvitationExpired: i.Expires,
	}[i.State(now)]
}

// Admits reports whether the invitation is for a mailbox.
func (i *Invitation) Admits(mailbox string) bool {
	if i.Mailbox != "" {
		return mailbox == i.Mailbox
	}
	local, domain, _ := address.Split(mailbox)
	return local != "" && domain == i.Domain
}

// ErrNoInvitation reports a link without an invitation: it was never made, or has
// been dropped since.
var ErrNoInvitation = errors.New("there is no such invitation: ask the sender of the link for another")

// InvitationEnded reports an invitation that can no longer be used.
type InvitationEnded struct{ State InvitationState }

func (e *InvitationEnded) Error() string {
	return fmt.Sprintf("the invitation is %s: ask the sender of the link for another", e.State)
}

// InvitationStore reads and changes the invitations in the store.
type InvitationStore struct {
	Vault *tokens.Vault
	Now   func() time.Time
}

// All returns all invitations, the newest first.
func (s InvitationStore) All(ctx context.Context) ([]Invitation, error) {
	data, err := s.Vault.Document(ctx, InvitationsDocument)
	if err != nil {
		return nil, fmt.Errorf("reading the invitations: %w", err)
	}
	list, err := readInvitations(data)
	slices.SortFunc(list, func(a, b Invitation) int { return b.Created.Compare(a.Created) })
	return list, err
}

func readInvitations(data []byte) (list []Invitation, err error) {
	if len(data) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("reading the invitations: the document is damaged: %w", err)
	}
	return list, nil
}

// edit changes the list under the lock of its document.
func (s InvitationStore) edit(ctx context.Context, change func([]Invitation) ([]Invitation, error)) error {
	return s.Vault.UpdateDocument(ctx, InvitationsDocument, func(old []byte) ([]byte, error) {
		list, err := readInvitations(old)
		if err != nil {
			return nil, err
		}
		if list, err = change(list); err != nil {
			return nil, err
		}
		return json.Marshal(list)
	})
}

// Add adds an invitation and returns the token for its link, which is not stored.
func (s InvitationStore) Add(ctx context.Context, i Invitation, life time.Duration) (Invitation, secret.String, error) {
	now := s.Now().UTC().Round(0)
	if life <= 0 || life > MaxInvitationLife {
		return i, "", fmt.Errorf("an invitation is valid for between an hour and %d days", int(MaxInvitationLife.Hours()/24))
	}
	token := NewToken()
	i.ID, i.Hash, i.Created, i.Expires = NewID(), HashToken(token), now, now.Add(life)
	err := s.edit(ctx, func(list []Invitation) ([]Invitation, error) {
		list = slices.DeleteFunc(list, func(old Invitation) bool {
			end := old.ended(now)
			return !end.IsZero() && now.Sub(end) > invitationMemory
		})
		if len(list) >= maxInvitations {
			return nil, fmt.Errorf("there are already %d invitations, the most that are kept: revoke some that are no longer needed", len(list))
		}
		return append(list, i), nil
	})
	if err != nil {
		return i, "", fmt.Errorf("storing the invitation: %w", err)
	}
	return i, token, nil
}

// Find returns the invitation of a link. It changes nothing: mail scanners open
// links before people do.
func (s InvitationStore) Find(ctx context.Context, token secret.String) (*Invitation, error) {
	list, err := s.All(ctx)
	if err != nil {
		return nil, err
	}
	i := withHash(list, HashToken(token))
	if i == nil {
		return nil, ErrNoInvitation
	}
	if state := i.State(s.Now()); state != InvitationOpen {
		return i, &InvitationEnded{state}
	}
	return i, nil
}

// withHash returns the invitation with a hash. It compares all of them, so that
// the time it takes says nothing.
func withHash(list []Invitation, hash string) (found *Invitation) {
	for n := range list {
		if subtle.ConstantTimeCompare([]byte(list[n].Hash), []byte(hash)) == 1 {
			found = &list[n]
		}
	}
	return found
}

// Claim uses up an invitation for a mailbox. Of several concurrent calls one
// succeeds.
func (s InvitationStore) Claim(ctx context.Context, hash, mailbox string, from netip.Addr) error {
	return s.edit(ctx, func(list []Invitation) ([]Invitation, error) {
		i := withHash(list, hash)
		if i == nil {
			return nil, ErrNoInvitation
		}
		if state := i.State(s.Now()); state != InvitationOpen {
			return nil, &InvitationEnded{state}
		}
		if !i.Admits(mailbox) {
			return nil, fmt.Errorf("the invitation is not for %s", mailbox)
		}
		i.Used, i.UsedBy, i.From = s.Now().UTC().Round(0), mailbox, from
		return list, nil
	})
}

// Release undoes Claim, for use when the mailbox could not be connected.
func (s InvitationStore) Release(ctx context.Context, hash string) error {
	return s.edit(ctx, func(list []Invitation) ([]Invitation, error) {
		if i := withHash(list, hash); i != nil {
			i.Used, i.UsedBy, i.From = time.Time{}, "", netip.Addr{}
		}
		return list, nil
	})
}

// Revoke ends an invitation that has not been used.
func (s InvitationStore) Revoke(ctx context.Context, id string) error {
	return s.edit(ctx, func(list []Invitation) ([]Invitation, error) {
		at := slices.IndexFunc(list, func(i Invitation) bool { return i.ID == id })
		if at < 0 {
			return nil, ErrNoInvitation
		}
		if state := list[at].State(s.Now()); state != InvitationOpen {
			return nil, &InvitationEnded{state}
		}
		list[at].Revoked = s.Now().UTC().Round(0)
		return list, nil
	})
}

// NewID returns an identifier for URLs and lists. It is not a secret.
func NewID() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
