package store

import (
	"sync"
	"time"
)

// accountCache answers for accounts without the database, for as long as that
// tells of every change, and for a while after.
type accountCache struct {
	outage time.Duration

	mu       sync.Mutex
	accounts map[string]*knownAccount
	link     link
	era      int       // counts the times the link was made
	attended time.Time // when the link was last known to be good
}

// link is how a process stands with the changes that others make.
type link int

const (
	// linkNone: changes are not told of. The database is asked, and memory is
	// for when it does not answer.
	linkNone link = iota
	// linkGood: what is in memory is as last written.
	linkGood
	// linkAway: the database cannot be reached, so asking it would only hold
	// logins up.
	linkAway
)

// knownAccount is an account as of a version, and the version it should have.
type knownAccount struct {
	account *Account // nil: not known
	version int64
	wanted  int64     // 0: none has been told of
	checked time.Time // when it was read or written
}

// look returns an account that is to be answered with, nil if the database is
// to be asked.
func (c *accountCache) look(mailbox string) *Account {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.link {
	case linkGood:
		if k := c.accounts[mailbox]; k.current() {
			return k.account
		}
	case linkAway:
		return c.lastKnownLocked(mailbox)
	}
	return nil
}

// lastKnown returns an account though nobody can tell whether it has changed,
// unless that has been so for too long. One that is known to have changed is
// not served: the change may be a password that was revoked.
func (c *accountCache) lastKnown(mailbox string) *Account {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastKnownLocked(mailbox)
}

func (c *accountCache) lastKnownLocked(mailbox string) *Account {
	k := c.accounts[mailbox]
	if !k.current() {
		return nil
	}
	sure := k.checked
	if c.attended.After(sure) {
		sure = c.attended
	}
	if time.Since(sure) > c.outage {
		return nil
	}
	return k.account
}

func (k *knownAccount) current() bool { return k != nil && k.account != nil && k.version >= k.wanted }

// version is that of an account that memory answered with.
func (c *accountCache) version(a *Account) (version int64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.accounts[a.Mailbox]
	if k == nil || k.account != a {
		return 0, false
	}
	return k.version, true
}

func (c *accountCache) known(mailbox string) *knownAccount {
	if c.accounts == nil {
		c.accounts = map[string]*knownAccount{}
	}
	k := c.accounts[mailbox]
	if k == nil {
		k = &knownAccount{}
		c.accounts[mailbox] = k
	}
	return k
}

// now is the era in which a read begins.
func (c *accountCache) now() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.era
}

// keep remembers what was read. A read that began before the link was made may
// have missed what the link did not tell of.
func (c *accountCache) keep(mailbox string, a *Account, version int64, era int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if era != c.era {
		return
	}
	k := c.known(mailbox)
	if k.account == nil || version >= k.version {
		k.account, k.version, k.checked = a, version, time.Now()
	}
}

// wrote remembers what this process wrote itself.
func (c *accountCache) wrote(mailbox string, a *Account, version int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.known(mailbox)
	if version > k.version {
		k.account, k.version, k.checked = a, version, time.Now()
		k.wanted = max(k.wanted, version)
	}
}

// gone forgets a mailbox that this process removed at a version. Reads under way
// may still bring it.
func (c *accountCache) gone(mailbox string, version int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.known(mailbox)
	k.account, k.wanted = nil, max(k.wanted, version+1)
}

// changed notes a change that the database tells of, and says whether it is
// somebody else's.
func (c *accountCache) changed(mailbox string, version int64) (news bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attended = time.Now()
	k := c.known(mailbox)
	news = version > k.version
	k.wanted = max(k.wanted, version)
	return news
}

// behind tells whether memory has an account of another version.
func (c *accountCache) behind(mailbox string, version int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.accounts[mailbox]
	return k == nil || k.account == nil || k.version < version
}

// outdated are the mailboxes in memory that have changed.
func (c *accountCache) outdated() (mailboxes []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for mailbox, k := range c.accounts {
		if k.account != nil && !k.current() {
			mailboxes = append(mailboxes, mailbox)
		}
	}
	return mailboxes
}

// attend begins an era in which every change is told of, with the versions
// there are.
func (c *accountCache) attend(versions map[string]int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for mailbox := range c.accounts {
		if versions[mailbox] == 0 {
			delete(c.accounts, mailbox)
		}
	}
	for mailbox, version := range versions {
		if k := c.accounts[mailbox]; k != nil {
			k.wanted = max(k.wanted, version)
		}
	}
	c.era++
	c.link, c.attended = linkGood, time.Now()
}

// beat notes that the link is still good.
func (c *accountCache) beat() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attended = time.Now()
}

// lose ends the era: with linkAway if the database does not even answer.
func (c *accountCache) lose(to link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link = to
}
