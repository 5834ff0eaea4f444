// Package audit keeps a bounded record of login attempts, and reads it whether a
// server runs or not.
//
// The record is lines of JSON in two pairs of files, each with newer and older
// entries:
//
//	DIR/ok.jsonl      DIR/ok.1.jsonl        logins that succeeded
//	DIR/failed.jsonl  DIR/failed.1.jsonl    those that failed, and refused connections
//
// Failures have their own files because anyone can cause them: any number of
// failures leaves the successful logins in place. Similar failures within a minute
// are one line with a count.
//
// The record is for finding out what happened, not for accounting: entries are
// lost if the disk fails or is too slow, and no login waits for the disk.
package audit

import (
	"fmt"
	"path/filepath"
	"time"

	"authferry/proxy"
)

// Entry is a line of the record.
type Entry struct {
	Time     time.Time `json:"time"` // of the last, if there are several
	Protocol string    `json:"protocol"`
	Client   string    `json:"client"` // address and port; without a port for several attempts; empty for several addresses, or none
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

// OK reports whether the login succeeded.
func (e *Entry) OK() bool { return e.Result == proxy.AttemptOK }

// Times returns how many attempts an entry stands for.
func (e *Entry) Times() int { return max(1, e.Count) }

// addressOf returns an address as text, or "" if there is none.
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

// DirIn returns the directory of a store's record.
func DirIn(store string) string { return filepath.Join(store, "logins") }
