package gate

import (
	"container/list"
	"errors"
	"net/netip"
)

// Slot is the place of one connection. Its methods may be called on nil.
type Slot struct {
	gate  *Gate
	site  netip.Prefix
	drop  func()
	left  bool
	spoke bool
	// The crowd it waits in until it has logged in, and its place there.
	among *crowds
	crowd *crowd
	place *list.Element
}

// errCrowdedOut: somebody else needed the place more.
var ErrEvicted = errors.New("dropped before it logged in, to make room for others: " +
	"if this is no flood, raise connections in [gate]")

// keptFree is the share of all places that only those get who are on this
// machine or have logged in from where they are.
const keptFree = 16

// Admit gives a connection a seat, or says why not. Until it has logged in,
// drop may be called, once, if others need the place more: connections are
// cheap for whoever opens thousands of them and stays silent, or says a word a
// minute.
func (g *Gate) Admit(from netip.Addr, drop func()) (*Slot, error) {
	g.mu.Lock()
	if !g.allows(from) {
		g.mu.Unlock()
		return nil, errNotAllowed
	}
	return g.enterAndUnlock(from, drop)
}

// AdmitBalancer seats a load balancer's own connection. What names a balancer
// has allowed it already.
func (g *Gate) AdmitBalancer(from netip.Addr, drop func()) (*Slot, error) {
	g.mu.Lock()
	return g.enterAndUnlock(from, drop)
}

func (g *Gate) enterAndUnlock(from netip.Addr, drop func()) (*Slot, error) {
	seat, out, err := g.enter(from, drop)
	g.mu.Unlock()
	if out != nil {
		out.drop()
	}
	return seat, err
}

// enter finds a seat. out is who has to make room for it.
func (g *Gate) enter(from netip.Addr, drop func()) (seat, out *Slot, err error) {
	site := siteOf(from)
	if most := g.limits.ConnectionsPerAddress; most > 0 && g.open[site] >= most && !from.IsLoopback() {
		return nil, nil, ErrTooMany
	}
	regular := from.IsLoopback() || g.known.sites[site] > 0
	among := &g.strangers
	if regular {
		among = &g.regulars
	}
	if most := g.limits.Connections; most > 0 && g.full(most, regular) {
		out = g.strangers.first()
		if out == nil && regular {
			out = g.regulars.first()
		}
		if out == nil {
			return nil, nil, ErrTooMany
		}
		out.leave()
	}
	if g.open == nil {
		g.open = make(map[netip.Prefix]int)
	}
	g.total++
	g.open[site]++
	seat = &Slot{gate: g, site: site, drop: drop}
	if drop != nil {
		among.add(networkOf(from), seat)
	}
	return seat, out, nil
}

// full tells whether somebody has to go before another one comes.
func (g *Gate) full(most int, regular bool) bool {
	if regular {
		return g.total >= most
	}
	return g.total >= most-most/keptFree || g.strangers.total >= max(1, most/2)
}

// Spoke notes that the client has said something: the silent go first.
func (x *Slot) Spoke() {
	if x == nil {
		return
	}
	x.gate.mu.Lock()
	defer x.gate.mu.Unlock()
	if x.crowd != nil && !x.spoke {
		x.crowd.line(x).Remove(x.place)
		x.spoke = true
		x.place = x.crowd.line(x).PushBack(x)
	}
}

// LoggedIn notes that the client may stay.
func (x *Slot) LoggedIn() {
	if x == nil {
		return
	}
	x.gate.mu.Lock()
	defer x.gate.mu.Unlock()
	x.unqueue()
}

// Release gives the place back.
func (x *Slot) Release() {
	if x == nil {
		return
	}
	x.gate.mu.Lock()
	defer x.gate.mu.Unlock()
	x.leave()
}

func (x *Slot) leave() {
	if x.left {
		return
	}
	x.left = true
	x.unqueue()
	x.gate.total--
	if x.gate.open[x.site]--; x.gate.open[x.site] <= 0 {
		delete(x.gate.open, x.site)
	}
}

func (x *Slot) unqueue() {
	if x.crowd != nil {
		x.among.remove(x)
	}
}

// shed drops some of those that have not logged in: the machine has no more
// descriptors, however many connections the limits would allow.
func (g *Gate) Evict() {
	g.mu.Lock()
	var out []*Slot
	for range 1 + g.strangers.total/8 {
		x := g.strangers.first()
		if x == nil {
			x = g.regulars.first()
		}
		if x == nil {
			break
		}
		x.leave()
		out = append(out, x)
	}
	g.mu.Unlock()
	for _, x := range out {
		x.drop()
	}
}

// crowds are connections that have not logged in, by network, and the networks
// by how many each has: all in constant time, since it is a flood that makes
// it work.
type crowds struct {
	by     map[netip.Prefix]*crowd
	bySize []*list.List // [n]: the crowds of n+1, who has been one for longest in front
	total  int
}

type crowd struct {
	network          netip.Prefix
	size             int
	silent, speaking list.List     // of *Seat, the oldest in front
	place            *list.Element // in bySize
}

func (c *crowd) line(x *Slot) *list.List {
	if x.spoke {
		return &c.speaking
	}
	return &c.silent
}

func (c *crowds) add(network netip.Prefix, x *Slot) {
	if c.by == nil {
		c.by = make(map[netip.Prefix]*crowd)
	}
	with := c.by[network]
	if with == nil {
		with = &crowd{network: network}
		c.by[network] = with
	}
	x.among, x.crowd = c, with
	x.place = with.line(x).PushBack(x)
	c.total++
	c.resize(with, 1)
}

func (c *crowds) remove(x *Slot) {
	with := x.crowd
	with.line(x).Remove(x.place)
	x.among, x.crowd, x.place = nil, nil, nil
	c.total--
	c.resize(with, -1)
}

// resize moves a crowd that has grown or shrunk by one.
func (c *crowds) resize(with *crowd, by int) {
	if with.size > 0 {
		c.bySize[with.size-1].Remove(with.place)
	}
	with.size += by
	if with.size == 0 {
		delete(c.by, with.network)
	} else {
		if with.size > len(c.bySize) {
			c.bySize = append(c.bySize, list.New())
		}
		with.place = c.bySize[with.size-1].PushBack(with)
	}
	for n := len(c.bySize); n > 0 && c.bySize[n-1].Len() == 0; n-- {
		c.bySize = c.bySize[:n-1]
	}
}

// first is who goes first: of the networks with the most connections, one that
// has a silent one, and of those the oldest. nil if there is nobody.
func (c *crowds) first() *Slot {
	if len(c.bySize) == 0 {
		return nil
	}
	const looked = 16 // at most, since nearly all of a flood is silent
	biggest := c.bySize[len(c.bySize)-1]
	e := biggest.Front()
	for range looked {
		if e == nil {
			break
		}
		if silent := e.Value.(*crowd).silent.Front(); silent != nil {
			return silent.Value.(*Slot)
		}
		e = e.Next()
	}
	return biggest.Front().Value.(*crowd).speaking.Front().Value.(*Slot)
}
