package gate

import (
	"container/list"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net/netip"
	"slices"
	"time"

	"authferry/internal/secret"
)

// failures remembers wrong logins: how many, by what they count against. Of
// each kind it forgets the oldest beyond maxRemembered, so that a flood from
// many addresses costs bounded memory, and makes only addresses be forgotten.
type failures struct {
	key   [32]byte // of the hashes of wrong passwords; made at the first, kept nowhere
	begun bool
	kinds [failureKinds]recent
}

// recent are the latest failures of one kind.
type recent struct {
	by   map[failureKey]*list.Element
	used list.List // of *failure, the latest first
}

// failureKind is what a wrong login counts against.
type failureKind int

const (
	pairFailures    failureKind = iota // an address at one mailbox
	mailboxFailures                    // all strangers at one mailbox
	siteFailures                       // an address at all mailboxes
	networkFailures                    // a network at all mailboxes
	failureKinds
)

type failureKey struct {
	kind failureKind
	from netip.Prefix
	user string
}

type failure struct {
	failureKey
	count int
	until time.Time
	// wrong are the last passwords tried for a mailbox, hashed. One tried again
	// is a mail program with an old password, not a guess: it does not count.
	wrong [][8]byte
}

const (
	maxRemembered = 10_000
	maxWrong      = 4
)

// keysOf lists what a failure counts against, and what may keep a login out.
// Where the owner of the mailbox has been, the guesses of others do not count,
// lest they lock the owner out.
func keysOf(from netip.Addr, mailbox string, is acquaintance) []failureKey {
	site := siteOf(from)
	keys := []failureKey{{pairFailures, site, mailbox}, {siteFailures, site, ""}}
	if is < regular {
		keys = append(keys, failureKey{networkFailures, networkOf(from), ""})
	}
	if is < neighbour {
		keys = append(keys, failureKey{mailboxFailures, netip.Prefix{}, mailbox})
	}
	return keys
}

// patience is how many times the failures of one mailbox a key may reach.
func (k failureKey) patience() int {
	return [failureKinds]int{1, PerMailbox, perSite, perNetwork}[k.kind]
}

// count returns how often a key has failed of late.
func (f *failures) count(k failureKey, now time.Time) int {
	e := f.kinds[k.kind].by[k]
	if e == nil || now.After(e.Value.(*failure).until) {
		return 0
	}
	return e.Value.(*failure).count
}

// add counts a wrong password against keys, unless it has been counted before,
// and returns how many different ones the mailbox has had from this address, or
// from all strangers if that is more.
func (f *failures) add(keys []failureKey, password secret.String, now time.Time, window time.Duration) (worst int) {
	if !f.begun {
		rand.Read(f.key[:])
		f.begun = true
	}
	mac := hmac.New(sha256.New, f.key[:])
	mac.Write([]byte(password.Reveal()))
	hash := [8]byte(mac.Sum(nil))

	again := f.touch(keys[0], now, window).tried(hash)
	for _, k := range keys {
		e := f.touch(k, now, window)
		known := k.kind == mailboxFailures && e.tried(hash)
		if !again && !known {
			e.count++
			e.until = now.Add(window)
			if k.user != "" {
				e.remember(hash)
			}
		}
		if k.user != "" {
			worst = max(worst, e.count)
		}
	}
	return worst
}

// tried tells whether a password was among the last ones.
func (e *failure) tried(hash [8]byte) bool { return slices.Contains(e.wrong, hash) }

func (e *failure) remember(hash [8]byte) {
	if len(e.wrong) == maxWrong {
		e.wrong = slices.Delete(e.wrong, 0, 1)
	}
	e.wrong = append(e.wrong, hash)
}

// touch finds or makes an entry and moves it to the front.
func (f *failures) touch(k failureKey, now time.Time, window time.Duration) *failure {
	r := &f.kinds[k.kind]
	if e := r.by[k]; e != nil {
		r.used.MoveToFront(e)
		had := e.Value.(*failure)
		if now.After(had.until) {
			*had = failure{failureKey: k, until: now.Add(window)}
		}
		return had
	}
	if r.by == nil {
		r.by = make(map[failureKey]*list.Element)
	}
	if r.used.Len() >= maxRemembered {
		f.forget(r.used.Back().Value.(*failure).failureKey)
	}
	e := &failure{failureKey: k, until: now.Add(window)}
	r.by[k] = r.used.PushFront(e)
	return e
}

func (f *failures) forget(k failureKey) {
	r := &f.kinds[k.kind]
	if e := r.by[k]; e != nil {
		r.used.Remove(e)
		delete(r.by, k)
	}
}
