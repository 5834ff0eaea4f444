package gate

import (
	"container/list"
	"net/netip"
	"slices"
	"time"
)

// known remembers from where mailboxes have been logged in to. Who comes from
// there again is neither slowed nor kept out by what strangers do.
type known struct {
	by    map[string]*list.Element // by mailbox
	used  list.List                // of *haunts, the latest first
	sites map[netip.Prefix]int     // how many of them an address is among
}

// haunts are where one mailbox has been logged in to from.
type haunts struct {
	mailbox string
	visits  []visit // the latest first
}

type visit struct {
	site netip.Prefix
	at   time.Time
}

const (
	maxHaunts = 10_000
	// maxVisits bounds the addresses of one mailbox, lest an owner who roams, or
	// one who means harm and has a /48, makes those of others be forgotten.
	maxVisits = 16
	// knownFor spans a holiday.
	knownFor = 30 * 24 * time.Hour
)

// acquaintance is what an address is to a mailbox.
type acquaintance int

const (
	stranger  acquaintance = iota
	neighbour              // somebody in its network has logged in to the mailbox
	regular                // the address itself has, or is on this machine
)

func (k *known) of(from netip.Addr, mailbox string, now time.Time) acquaintance {
	if from.IsLoopback() {
		return regular
	}
	e := k.by[mailbox]
	if e == nil {
		return stranger
	}
	site, near, is := siteOf(from), networkOf(from), stranger
	for _, v := range e.Value.(*haunts).visits {
		switch {
		case now.Sub(v.at) > knownFor:
		case v.site == site:
			return regular
		case near.Contains(v.site.Addr()):
			is = neighbour
		}
	}
	return is
}

// note remembers a login.
func (k *known) note(from netip.Addr, mailbox string, at time.Time) {
	if k.by == nil {
		k.by, k.sites = make(map[string]*list.Element), make(map[netip.Prefix]int)
	}
	e := k.by[mailbox]
	if e == nil {
		if k.used.Len() >= maxHaunts {
			k.forget(k.used.Back())
		}
		e = k.used.PushFront(&haunts{mailbox: mailbox})
		k.by[mailbox] = e
	}
	k.used.MoveToFront(e)
	h, site := e.Value.(*haunts), siteOf(from)
	if i := slices.IndexFunc(h.visits, func(v visit) bool { return v.site == site }); i >= 0 {
		if h.visits[i].at.After(at) {
			return
		}
		k.left(h.visits[i])
		h.visits = slices.Delete(h.visits, i, i+1)
	}
	later := func(v visit) bool { return !v.at.After(at) }
	i := slices.IndexFunc(h.visits, later)
	if i < 0 {
		i = len(h.visits)
	}
	h.visits = slices.Insert(h.visits, i, visit{site, at})
	k.sites[site]++
	if len(h.visits) > maxVisits {
		k.left(h.visits[maxVisits])
		h.visits = h.visits[:maxVisits]
	}
}

func (k *known) forget(e *list.Element) {
	h := e.Value.(*haunts)
	for _, v := range h.visits {
		k.left(v)
	}
	delete(k.by, h.mailbox)
	k.used.Remove(e)
}

func (k *known) left(v visit) {
	if k.sites[v.site]--; k.sites[v.site] <= 0 {
		delete(k.sites, v.site)
	}
}
