package proxy

import (
	"container/list"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net/netip"
	"slices"
	"strings"
	"time"

	"authferry/tokens"
)

// failures remembers wrong logins: how many, by address and mailbox, and by
// address alone. It forgets the oldest beyond maxRemembered, so that a flood
// from many addresses costs bounded memory.
type failures struct {
	key  [32]byte // of the hashes of wrong passwords; made at the first, kept nowhere
	by   map[failureKey]*list.Element
	used list.List // of *failure, the latest first
}

// failureKey is an address with a mailbox, or, without one, a network.
type failureKey struct {
	from netip.Prefix
	user string
}

type failure struct {
	failureKey
	count int
	until time.Time
	// wrong are the last passwords tried, hashed. One tried again is a mail
	// program with an old password, not a guess: it does not count.
	wrong [][8]byte
}

const (
	maxRemembered = 10_000
	maxWrong      = 4
)

// keysOf lists what a failure counts against.
func keysOf(from netip.Addr, user string) []failureKey {
	user = strings.ToLower(user)
	user = strings.Clone(user[:min(len(user), 254)]) // RFC 5321 §4.5.3.1.3, without its brackets
	if user == "" {
		user = "nobody" // an empty name would be the address's own key
	}
	keys := []failureKey{{siteOf(from), user}, {from: siteOf(from)}}
	if from.Is6() {
		keys = append(keys, failureKey{from: network(from, 48)})
	}
	return keys
}

// patience is how many times the failures of one mailbox a key may reach.
func (k failureKey) patience() int {
	switch {
	case k.user != "":
		return 1
	case k.from.Bits() == 48:
		return perNetwork
	}
	return perSite
}

// count returns how often a key has failed of late.
func (f *failures) count(k failureKey, now time.Time) int {
	e := f.by[k]
	if e == nil || now.After(e.Value.(*failure).until) {
		return 0
	}
	return e.Value.(*failure).count
}

// add counts a wrong password against keys, unless it has been counted before,
// and returns how many the first of the keys, the mailbox, has now.
func (f *failures) add(keys []failureKey, password tokens.Secret, now time.Time, window time.Duration) int {
	if f.by == nil {
		f.by = make(map[failureKey]*list.Element)
		rand.Read(f.key[:])
	}
	mac := hmac.New(sha256.New, f.key[:])
	mac.Write([]byte(password.Reveal()))
	hash := [8]byte(mac.Sum(nil))

	first := f.touch(keys[0], now, window)
	if slices.Contains(first.wrong, hash) {
		return first.count
	}
	if len(first.wrong) == maxWrong {
		first.wrong = slices.Delete(first.wrong, 0, 1)
	}
	first.wrong = append(first.wrong, hash)
	for _, k := range keys {
		e := f.touch(k, now, window)
		e.count++
		e.until = now.Add(window)
	}
	return first.count
}

// touch finds or makes an entry and moves it to the front.
func (f *failures) touch(k failureKey, now time.Time, window time.Duration) *failure {
	if e := f.by[k]; e != nil {
		f.used.MoveToFront(e)
		had := e.Value.(*failure)
		if now.After(had.until) {
			*had = failure{failureKey: k, until: now.Add(window)}
		}
		return had
	}
	if f.used.Len() >= maxRemembered {
		oldest := f.used.Back()
		delete(f.by, oldest.Value.(*failure).failureKey)
		f.used.Remove(oldest)
	}
	e := &failure{failureKey: k, until: now.Add(window)}
	f.by[k] = f.used.PushFront(e)
	return e
}
