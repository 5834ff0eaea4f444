package web

import "time"

// LoginQuery picks logins of the record.
type LoginQuery struct {
	Mailboxes []string // none: all
	Failed    bool
	Last      int // how many, the newest
}

// LoginAttempt is a login that was tried.
type LoginAttempt struct {
	At       time.Time
	Protocol string
	From     string
	User     string // as the program gave it, as far as that may be shown
	Mailbox  string
	Password string // its name
	Program  string // how it named itself
	OK       bool
	Result   string
	Cause    string
	Times    int // how many alike it stands for
}
