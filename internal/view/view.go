// Package view describes mailboxes and local passwords as people and scripts see
// them: its types are the stable shape of --json, and what tables are made from.
package view

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"authferry/internal/protocol"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// Condition is the state of a mailbox, and what to do about it.
type Condition struct {
	Mailbox  string      `json:"mailbox"`
	Provider string      `json:"provider"`
	State    store.State `json:"state,omitempty"`  // empty: the mailbox cannot be read
	Cause    oauth.Cause `json:"cause,omitempty"`  // of a failure
	Reason   string      `json:"reason,omitempty"` // in the words of the provider or the network
	Fix      string      `json:"fix,omitempty"`
	Page     string      `json:"page,omitempty"` // where to fix it
	Since    *time.Time  `json:"since,omitempty"`
}

// Mailbox is a mailbox with its grant and its local passwords.
type Mailbox struct {
	Condition
	SignIn       string     `json:"sign_in,omitempty"` // the account whose grant it is, if not the mailbox's own
	Meaning      string     `json:"meaning,omitempty"` // of the cause, in words
	NeedsPerson  *time.Time `json:"needs_person,omitempty"`
	TokenExpires *time.Time `json:"token_expires,omitempty"`
	GrantEnds    *time.Time `json:"grant_ends,omitempty"`
	Connected    *time.Time `json:"connected,omitempty"`
	Passwords    []Password `json:"passwords"`
}

// Password is a local password, without the password.
type Password struct {
	Name            string              `json:"name"`
	Protocols       []protocol.Protocol `json:"protocols,omitempty"` // none: all
	Networks        []netip.Prefix      `json:"networks,omitempty"`  // none: all
	Expires         *time.Time          `json:"expires,omitempty"`
	Expiry          Expiry              `json:"expiry,omitempty"`
	ReadOnly        bool                `json:"read_only,omitempty"`
	MessagesPerHour int                 `json:"messages_per_hour,omitempty"` // 0: any number
	Recipients      int                 `json:"recipients,omitempty"`        // of one message; 0: any number
	Created         *time.Time          `json:"created,omitempty"`
	LastUsed        *Use                `json:"last_used,omitempty"`
}

// Use is the last use of a local password.
type Use struct {
	At       time.Time         `json:"at"`
	From     string            `json:"from"`
	Protocol protocol.Protocol `json:"protocol"`
	Client   string            `json:"client,omitempty"`
}

// Of returns the view of a mailbox.
func Of(a *store.Account, v *tokens.Vault) Mailbox {
	m := Mailbox{
		Condition: Condition{Mailbox: a.Mailbox, Provider: a.Provider, State: v.State(a)},
		SignIn:    a.SignIn, TokenExpires: Time(a.Token.Expiry), GrantEnds: Time(a.Token.RefreshExpiry), Connected: Time(a.Connected),
		Passwords: []Password{},
	}
	if f := a.Failure(); f != nil {
		m.Cause, m.Reason, m.Since = f.Cause, f.Reason, Time(f.Since)
	}
	if advice, ok := v.Advice(a); ok {
		m.Meaning, m.Fix, m.Page = advice.Words, advice.Fix, advice.Page
	}
	at, _ := v.NeedsPerson(a)
	m.NeedsPerson = Time(at)
	for _, p := range a.Passwords {
		view := Password{
			Name: p.Name, Protocols: p.Protocols, Networks: p.Networks, Expires: Time(p.Expires), Expiry: expiryOf(p.Expires, time.Now()),
			ReadOnly: p.ReadOnly, MessagesPerHour: p.MessagesPerHour, Recipients: p.Recipients, Created: Time(p.Created),
		}
		if u := p.LastUsed; !u.At.IsZero() {
			view.LastUsed = &Use{u.At, u.From.String(), u.Protocol, u.Client}
		}
		m.Passwords = append(m.Passwords, view)
	}
	return m
}

// Time returns a pointer to t, or nil for the zero time.
func Time(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// May returns what a password is limited to, or "all".
func (p *Password) May() string {
	var may []string
	if p.ReadOnly {
		may = append(may, "read")
	}
	if p.MessagesPerHour > 0 {
		may = append(may, fmt.Sprintf("send %d an hour", p.MessagesPerHour))
	}
	if p.Recipients > 0 {
		may = append(may, fmt.Sprintf("send to %d at once", p.Recipients))
	}
	if len(may) == 0 {
		return "all"
	}
	return strings.Join(may, ", ")
}

// Expiry says whether a password has expired, for readers without a clock.
type Expiry string

const (
	expired     Expiry = "expired"
	expiresSoon Expiry = "soon" // within soon
	soon               = 14 * 24 * time.Hour
)

// expiryOf returns the expiry of a password; empty if it is far away.
func expiryOf(end, now time.Time) Expiry {
	switch {
	case end.IsZero() || end.Sub(now) > soon:
		return ""
	case !now.Before(end):
		return expired
	}
	return expiresSoon
}
