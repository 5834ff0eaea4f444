// Package audit keeps a bounded record of the logins that were tried, and reads
// it back whether a server runs or not.
//
// It is lines of JSON in a directory of its own, of the newest about half and of
// those before about half:
//
//	DIR/ok.jsonl      DIR/ok.1.jsonl        logins that succeeded
//	DIR/failed.jsonl  DIR/failed.1.jsonl    those that did not, and connections turned away
//
// Failures have files of their own because anybody can make them: however many
// they are, they push out no login that succeeded. Failures that are alike
// within a minute are one line with a count.
//
// The record is for people who look for what happened, not for accounting: what
// the disk does not take is lost, and no login ever waits for it or fails by it.
package audit

import (
	"fmt"
	"path/filepath"
	"time"

	"authferry/proxy"
)

// Entry is a line of the record.
type Entry struct {
	Time     time.Time `json:"time"` // the last, of several
	Protocol string    `json:"protocol"`
	Client   string    `json:"client"` // address and port; the address alone for several; empty for several addresses, or none
	TLS      string    `json:"tls,omitempty"`
	User     string    `json:"user,omitempty"`
	Mailbox  string    `json:"mailbox,omitempty"`
	Password string    `json:"password,omitempty"` // its name
	Program  string    `json:"client_name,omitempty"`
	Result   string    `json:"result"`
	Cause    string    `json:"cause,omitempty"`
	// Count is how many, if more than one, and Since when the first of them was.
	Count int       `json:"count,omitempty"`
	Since time.Time `json:"since,omitzero"`
}

// OK tells whether the login succeeded.
func (e *Entry) OK() bool { return e.Result == proxy.AttemptOK }

// Times is how many attempts an entry stands for.
func (e *Entry) Times() int { return max(1, e.Count) }

// addressOf is an address as text; empty if there is none.
func addressOf(a fmt.Stringer, valid bool) string {
	if !valid {
		return ""
	}
	return a.String()
}

func entryOf(a proxy.Attempt) Entry {
	return Entry{
		Time: a.At.UTC().Truncate(time.Millisecond), Protocol: string(a.Protocol), Client: addressOf(a.Client, a.Client.IsValid()), TLS: a.TLS,
		User: a.User, Mailbox: a.Mailbox, Password: a.Password, Program: a.Program,
		Result: a.Result, Cause: a.Cause,
	}
}

// kinds are the two parts of the record.
const (
	succeeded = "ok"
	failed    = "failed"
)

func newest(dir, kind string) string { return filepath.Join(dir, kind+".jsonl") }
func before(dir, kind string) string { return filepath.Join(dir, kind+".1.jsonl") }

// DirIn is where the record of a store is.
func DirIn(store string) string { return filepath.Join(store, "logins") }
