package gate

import (
	"net/netip"
	"slices"
	"time"
)

// knownAddrs are the addresses that mailboxes were recently used from. What
// unknown addresses do neither slows down a login from there nor refuses it.
type knownAddrs struct {
	byMailbox map[string][]knownAddr // the latest used first
	sites     map[netip.Prefix]knownSite
}

// knownSite is an address in the lists of one or more mailboxes.
type knownSite struct {
	lists int // how many
	used  time.Time
}

type knownAddr struct {
	site netip.Prefix
	used time.Time
}

const (
	// maxKnownAddrs bounds the addresses of one mailbox, so that an owner who
	// travels, or attacks from a /48, cannot displace those of other mailboxes.
	maxKnownAddrs = 16
	// knownFor spans a holiday.
	knownFor = 30 * 24 * time.Hour
)

// relation is what an address is to a mailbox.
type relation int

const (
	unknown     relation = iota
	sameNetwork          // another address in its network is known
	known                // it has logged in to the mailbox, or is on this machine
)

func (k *knownAddrs) relation(from netip.Addr, mailbox string, now time.Time) relation {
	if from.IsLoopback() {
		return known
	}
	site, network, r := SiteOf(from), networkOf(from), unknown
	for _, a := range k.byMailbox[mailbox] {
		switch {
		case now.Sub(a.used) > knownFor:
		case a.site == site:
			return known
		case network.Contains(a.site.Addr()):
			r = sameNetwork
		}
	}
	return r
}

// toAny reports whether an address is known to any mailbox.
func (k *knownAddrs) toAny(from netip.Addr, now time.Time) bool {
	s := k.sites[SiteOf(from)]
	return s.lists > 0 && now.Sub(s.used) <= knownFor
}

// add notes a successful login.
func (k *knownAddrs) add(from netip.Addr, mailbox string, at time.Time) {
	if k.byMailbox == nil {
		k.byMailbox, k.sites = make(map[string][]knownAddr), make(map[netip.Prefix]knownSite)
	}
	k.forget(makeRoom(k.byMailbox, mailbox, func(a []knownAddr) time.Time { return a[0].used }))
	addrs, site := k.byMailbox[mailbox], SiteOf(from)
	s := k.sites[site]
	if i := slices.IndexFunc(addrs, func(a knownAddr) bool { return a.site == site }); i < 0 {
		s.lists++
	} else {
		if addrs[i].used.After(at) {
			at = addrs[i].used
		}
		addrs = slices.Delete(addrs, i, i+1)
	}
	if s.used.Before(at) {
		s.used = at
	}
	k.sites[site] = s
	addrs = slices.Insert(addrs, 0, knownAddr{site, at})
	slices.SortStableFunc(addrs, func(a, b knownAddr) int { return b.used.Compare(a.used) })
	most := min(len(addrs), maxKnownAddrs)
	k.forget(addrs[most:])
	k.byMailbox[mailbox] = addrs[:most]
}

func (k *knownAddrs) forget(addrs []knownAddr) {
	for _, a := range addrs {
		s := k.sites[a.site]
		if s.lists--; s.lists <= 0 {
			delete(k.sites, a.site)
			continue
		}
		k.sites[a.site] = s
	}
}
