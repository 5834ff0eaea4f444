package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"authferry/internal/protocol"
	"authferry/internal/secret"
	"authferry/tokens/oauth"
)

// recordVersion is the format that is written. A reader refuses an unknown format, since
// it would write fewer fields than it read.
const recordVersion = 1

// record is the stored form of an Account. It is a type of its own because a
// [secret.String] refuses to be marshalled, and because a renamed field of Account must
// not change files.
type record struct {
	Version   int              `json:"version"`
	Mailbox   string           `json:"mailbox"`
	Provider  string           `json:"provider"`
	SignIn    string           `json:"sign_in,omitempty"`
	Token     tokenRecord      `json:"token"`
	Dead      *failureRecord   `json:"dead,omitempty"`
	Trouble   *failureRecord   `json:"trouble,omitempty"`
	Passwords []passwordRecord `json:"passwords,omitempty"`
	Created   time.Time        `json:"created,omitzero"`
	Connected time.Time        `json:"connected,omitzero"`
}

type tokenRecord struct {
	Access        string    `json:"access,omitempty"`
	Refresh       string    `json:"refresh,omitempty"`
	Minted        time.Time `json:"minted,omitzero"`
	Expiry        time.Time `json:"expiry,omitzero"`
	Scopes        []string  `json:"scopes,omitempty"`
	RefreshExpiry time.Time `json:"refresh_expiry,omitzero"`
}

type failureRecord struct {
	At     time.Time   `json:"at"`
	Since  time.Time   `json:"since,omitzero"`
	Reason string      `json:"reason"`
	Cause  oauth.Cause `json:"cause,omitempty"`
	Count  int         `json:"count"`
}

type passwordRecord struct {
	ID        string              `json:"id"`
	Name      string              `json:"name"`
	Key       []byte              `json:"key,omitempty"`
	Hash      []byte              `json:"hash,omitempty"`
	Argon2    string              `json:"argon2,omitempty"`
	Protocols []protocol.Protocol `json:"protocols,omitempty"`
	Networks  []netip.Prefix      `json:"networks,omitempty"`
	Expires   time.Time           `json:"expires,omitzero"`
	Created   time.Time           `json:"created,omitzero"`
	LastUsed  *useRecord          `json:"last_used,omitempty"`
	ReadOnly  bool                `json:"read_only,omitempty"`
	// MessagesPerHour and Recipients limit sending.
	MessagesPerHour int `json:"messages_per_hour,omitempty"`
	Recipients      int `json:"recipients,omitempty"`
}

type useRecord struct {
	At       time.Time         `json:"at"`
	From     netip.Addr        `json:"from,omitzero"`
	Protocol protocol.Protocol `json:"protocol,omitempty"`
	Client   string            `json:"client,omitempty"`
}

// encodeRecord returns the form of an account that a store seals.
func encodeRecord(a *Account) ([]byte, error) {
	r := record{
		Version: recordVersion, Mailbox: a.Mailbox, Provider: a.Provider, SignIn: a.SignIn,
		Token: tokenRecord{
			Access: a.Token.Access.Reveal(), Refresh: a.Token.Refresh.Reveal(),
			Minted: a.Token.Minted, Expiry: a.Token.Expiry,
			Scopes: a.Token.Scopes, RefreshExpiry: a.Token.RefreshExpiry,
		},
		Dead: (*failureRecord)(a.Dead), Trouble: (*failureRecord)(a.Trouble),
		Created: a.Created, Connected: a.Connected,
	}
	for _, p := range a.Passwords {
		pr := passwordRecord{
			ID: p.ID, Name: p.Name,
			Key: []byte(p.Key.Reveal()), Hash: []byte(p.Hash.Reveal()), Argon2: p.Argon2.Reveal(),
			Protocols: p.Protocols, Networks: p.Networks, Expires: p.Expires, Created: p.Created,
			ReadOnly: p.ReadOnly, MessagesPerHour: p.MessagesPerHour, Recipients: p.Recipients,
		}
		if !p.LastUsed.At.IsZero() {
			pr.LastUsed = (*useRecord)(&p.LastUsed)
		}
		r.Passwords = append(r.Passwords, pr)
	}
	return json.Marshal(r)
}

// decodeRecord is the inverse of encodeRecord. It hides the errors of the JSON decoder,
// which would quote the content.
func decodeRecord(data []byte) (*Account, error) {
	var v struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, errors.New("the record is damaged: it is not JSON")
	}
	if v.Version != recordVersion {
		return nil, fmt.Errorf("the record has format %d and this program knows format %d: use the program that wrote it, or a newer one", v.Version, recordVersion)
	}
	var r record
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return nil, errors.New("the record is damaged, or was written by a newer program: it has fields that this one does not know")
	}
	return r.account(), nil
}

func (r *record) account() *Account {
	a := &Account{
		Mailbox: r.Mailbox, Provider: r.Provider, SignIn: r.SignIn,
		Token: oauth.Token{
			Access: secret.String(r.Token.Access), Refresh: secret.String(r.Token.Refresh),
			Minted: r.Token.Minted, Expiry: r.Token.Expiry,
			Scopes: r.Token.Scopes, RefreshExpiry: r.Token.RefreshExpiry,
		},
		Dead: (*Failure)(r.Dead), Trouble: (*Failure)(r.Trouble),
		Created: r.Created, Connected: r.Connected,
	}
	for _, pr := range r.Passwords {
		p := Password{
			ID: pr.ID, Name: pr.Name,
			Key: secret.String(pr.Key), Hash: secret.String(pr.Hash), Argon2: secret.String(pr.Argon2),
			Protocols: pr.Protocols, Networks: pr.Networks, Expires: pr.Expires, Created: pr.Created,
			ReadOnly: pr.ReadOnly, MessagesPerHour: pr.MessagesPerHour, Recipients: pr.Recipients,
		}
		if pr.LastUsed != nil {
			p.LastUsed = Use(*pr.LastUsed)
		}
		a.Passwords = append(a.Passwords, p)
	}
	return a
}
