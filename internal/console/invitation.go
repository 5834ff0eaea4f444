package console

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
	"authferry/internal/secret"
	"authferry/tokens"
)

const (
	// invitationLife is how long a link is good where nobody says otherwise: over
	// a weekend.
	invitationLife = 72 * time.Hour
	// mostInvitationLife bounds it: a link in a mail is read by whoever reads the
	// mail, then and later.
	mostInvitationLife = 30 * 24 * time.Hour
	// invitationMemory is how long one that has ended stays on the list.
	invitationMemory = 90 * 24 * time.Hour
	// mostInvitations keeps the document well under what a store takes.
	mostInvitations = 1000

	invitationsDocument = "invitations"
)

// Invitation is a link that lets somebody connect a mailbox, once, without any
// other right here. Whoever holds the link still has to open the mailbox at its
// provider: that proves who they are.
type Invitation struct {
	ID   string `json:"id"`   // for lists; it opens nothing
	Hash string `json:"hash"` // of the link's token, SHA-256: 256 random bits need no slow one

	Mailbox  string `json:"mailbox,omitempty"` // the one to connect; empty: any of Domain
	Domain   string `json:"domain,omitempty"`
	Provider string `json:"provider"`
	SignIn   string `json:"sign_in,omitempty"` // who signs in for a shared mailbox
	Offer    Offer  `json:"offer"`

	By      string    `json:"by"` // who invites, in words for the invited
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Revoked time.Time `json:"revoked,omitzero"`

	Used   time.Time  `json:"used,omitzero"`
	UsedBy string     `json:"used_by,omitempty"` // the mailbox that was connected
	From   netip.Addr `json:"from,omitzero"`     // where the browser was
}

// Offer is the local password that an invitation brings.
type Offer struct {
	Name      string         `json:"name,omitempty"` // empty: no password, only the grant
	Protocols []string       `json:"protocols,omitempty"`
	Networks  []netip.Prefix `json:"networks,omitempty"`
	Days      int            `json:"days,omitempty"` // it is good for; 0: for good
	ReadOnly  bool           `json:"read_only,omitempty"`

	MessagesPerHour int `json:"messages_per_hour,omitempty"`
	Recipients      int `json:"recipients,omitempty"`
}

// Kind tells what a password that is not read-only is good for: to read, to
// send, or both. It ends the key of a text.
func (o Offer) Kind() string {
	sends := len(o.Protocols) == 0 || slices.Contains(o.Protocols, "smtp")
	switch {
	case sends && len(o.Protocols) == 1:
		return "maysend"
	case sends:
		return "mayboth"
	}
	return "mayread"
}

// spec is the password to make now.
func (o *Offer) spec(now time.Time) tokens.PasswordSpec {
	spec := tokens.PasswordSpec{
		Name: o.Name, Protocols: o.Protocols, Networks: o.Networks, ReadOnly: o.ReadOnly,
		MessagesPerHour: o.MessagesPerHour, Recipients: o.Recipients,
	}
	if o.Days > 0 {
		spec.Expires = now.AddDate(0, 0, o.Days)
	}
	return spec
}

// invitationState is what can be done with a link.
type invitationState string

const (
	invitationOpen    invitationState = "open"
	invitationUsed    invitationState = "used"
	invitationRevoked invitationState = "revoked"
	invitationExpired invitationState = "expired"
)

func (i *Invitation) state(now time.Time) invitationState {
	switch {
	case !i.Used.IsZero():
		return invitationUsed
	case !i.Revoked.IsZero():
		return invitationRevoked
	case !now.Before(i.Expires):
		return invitationExpired
	}
	return invitationOpen
}

// ended is when it came to its end; zero: it has not.
func (i *Invitation) ended(now time.Time) time.Time {
	return map[invitationState]time.Time{
		invitationUsed: i.Used, invitationRevoked: i.Revoked, invitationExpired: i.Expires,
	}[i.state(now)]
}

// admits tells whether a mailbox is one it is for.
func (i *Invitation) admits(mailbox string) bool {
	if i.Mailbox != "" {
		return mailbox == i.Mailbox
	}
	local, domain, _ := address.Split(mailbox)
	return local != "" && domain == i.Domain
}

// errNoInvitation is a link that leads nowhere: never made, or forgotten since.
var errNoInvitation = errors.New("there is no such invitation: ask whoever sent the link for another")

// invitationEnded is a link that was good once.
type invitationEnded struct{ state invitationState }

func (e *invitationEnded) Error() string {
	return fmt.Sprintf("the invitation is %s: ask whoever sent the link for another", e.state)
}

// documents is the part of a [tokens.Vault] that keeps what is shared by all
// processes on a store.
type documents struct {
	vault *tokens.Vault
	now   func() time.Time
}

// invitations reads them all, the newest first.
func (d *documents) invitations(ctx context.Context) ([]Invitation, error) {
	data, err := d.vault.Document(ctx, invitationsDocument)
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
		return nil, fmt.Errorf("reading the invitations: the document is not what was written: %w", err)
	}
	return list, nil
}

// edit changes the list under the lock of its document.
func (d *documents) edit(ctx context.Context, change func([]Invitation) ([]Invitation, error)) error {
	return d.vault.UpdateDocument(ctx, invitationsDocument, func(old []byte) ([]byte, error) {
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

// invite keeps a new invitation, and returns the token for its link, which is
// kept nowhere.
func (d *documents) invite(ctx context.Context, i Invitation, life time.Duration) (Invitation, secret.String, error) {
	now := d.now().UTC().Round(0)
	if life <= 0 || life > mostInvitationLife {
		return i, "", fmt.Errorf("an invitation is good for an hour to %d days", int(mostInvitationLife.Hours()/24))
	}
	token := newToken()
	i.ID, i.Hash, i.Created, i.Expires = newID(), hashToken(token), now, now.Add(life)
	err := d.edit(ctx, func(list []Invitation) ([]Invitation, error) {
		list = slices.DeleteFunc(list, func(old Invitation) bool {
			end := old.ended(now)
			return !end.IsZero() && now.Sub(end) > invitationMemory
		})
		if len(list) >= mostInvitations {
			return nil, fmt.Errorf("there are %d invitations, and no more are kept: revoke those that nobody will use", len(list))
		}
		return append(list, i), nil
	})
	if err != nil {
		return i, "", fmt.Errorf("keeping the invitation: %w", err)
	}
	return i, token, nil
}

// open finds the invitation of a link. Looking changes nothing: mail scanners
// open links before people do.
func (d *documents) open(ctx context.Context, token secret.String) (*Invitation, error) {
	list, err := d.invitations(ctx)
	if err != nil {
		return nil, err
	}
	i := withHash(list, hashToken(token))
	if i == nil {
		return nil, errNoInvitation
	}
	if state := i.state(d.now()); state != invitationOpen {
		return i, &invitationEnded{state}
	}
	return i, nil
}

// withHash finds an invitation, looking at all of them whichever it is.
func withHash(list []Invitation, hash string) (found *Invitation) {
	for n := range list {
		if subtle.ConstantTimeCompare([]byte(list[n].Hash), []byte(hash)) == 1 {
			found = &list[n]
		}
	}
	return found
}

// claim uses an invitation up for a mailbox: of several who try at once, one does.
func (d *documents) claim(ctx context.Context, hash, mailbox string, from netip.Addr) error {
	return d.edit(ctx, func(list []Invitation) ([]Invitation, error) {
		i := withHash(list, hash)
		if i == nil {
			return nil, errNoInvitation
		}
		if state := i.state(d.now()); state != invitationOpen {
			return nil, &invitationEnded{state}
		}
		if !i.admits(mailbox) {
			return nil, fmt.Errorf("the invitation is not for %s", mailbox)
		}
		i.Used, i.UsedBy, i.From = d.now().UTC().Round(0), mailbox, from
		return list, nil
	})
}

// giveBack undoes claim, where what followed came to nothing.
func (d *documents) giveBack(ctx context.Context, hash string) error {
	return d.edit(ctx, func(list []Invitation) ([]Invitation, error) {
		if i := withHash(list, hash); i != nil {
			i.Used, i.UsedBy, i.From = time.Time{}, "", netip.Addr{}
		}
		return list, nil
	})
}

// revoke ends an invitation that nobody has used.
func (d *documents) revoke(ctx context.Context, id string) error {
	return d.edit(ctx, func(list []Invitation) ([]Invitation, error) {
		at := slices.IndexFunc(list, func(i Invitation) bool { return i.ID == id })
		if at < 0 {
			return nil, errNoInvitation
		}
		if state := list[at].state(d.now()); state != invitationOpen {
			return nil, &invitationEnded{state}
		}
		list[at].Revoked = d.now().UTC().Round(0)
		return list, nil
	})
}

// newID names something in addresses and lists without opening it.
func newID() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
