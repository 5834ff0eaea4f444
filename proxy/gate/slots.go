package gate

import (
	"container/heap"
	"container/list"
	"errors"
	"net/netip"
)

// ErrEvicted reports that a connection was closed in favour of another one.
var ErrEvicted = errors.New("dropped before it logged in, to make room for others: " +
	"if this is no flood, raise connections in [gate]")

// reservedShare is the share of all slots, one in so many, that only this machine
// and known addresses get.
const reservedShare = 16

// slots counts the open connections and knows which one to close when there are
// too many.
type slots struct {
	total   int
	bySite  map[netip.Prefix]int
	unknown int // from unknown addresses that have not logged in
	pending pendingByNetwork
}

// take counts a connection. If another one has to be closed for it, that is
// evicted, and released already.
func (s *slots) take(l *Limits, from netip.Addr, known bool, x *Slot) (evicted *Slot, err error) {
	if most := l.ConnectionsPerAddress; most > 0 && s.bySite[x.site] >= most && !from.IsLoopback() {
		return nil, ErrTooMany
	}
	if s.full(l.Connections, known) {
		if evicted = s.first(known); evicted == nil {
			return nil, ErrTooMany
		}
		evicted.release()
	}
	if s.bySite == nil {
		s.bySite = make(map[netip.Prefix]int)
	}
	s.total++
	s.bySite[x.site]++
	if x.drop != nil {
		s.add(pendingKey{networkOf(from), known}, x)
	}
	return evicted, nil
}

// full reports whether a connection has to be closed before another one is accepted.
func (s *slots) full(most int, known bool) bool {
	switch {
	case most <= 0:
		return false
	case known:
		return s.total >= most
	}
	return s.total >= most-most/reservedShare || s.unknown >= max(1, most/2)
}

// Slot is one open connection. Its methods may be called on nil.
type Slot struct {
	gate     *Gate
	site     netip.Prefix
	drop     func()
	released bool
	pending  *pendingNetwork // nil: it has logged in, or cannot be closed
	in       *list.List      // pending.silent or pending.spoke
	place    *list.Element   // in in
}

// Spoke notes that the client has sent something: silent connections are closed first.
func (x *Slot) Spoke() {
	x.locked(func() {
		if n := x.pending; n != nil && x.in == &n.silent {
			x.in.Remove(x.place)
			x.wait(&n.spoke)
			heap.Fix(&x.gate.slots.pending, n.index)
		}
	})
}

// LoggedIn notes that the client has logged in: the connection stays.
func (x *Slot) LoggedIn() { x.locked(func() { x.gate.slots.remove(x) }) }

// Release notes that the connection is closed.
func (x *Slot) Release() { x.locked(func() { x.release() }) }

func (x *Slot) locked(do func()) {
	if x != nil {
		x.gate.mu.Lock()
		defer x.gate.mu.Unlock()
		do()
	}
}

// wait puts the slot at the end of a list of its network.
func (x *Slot) wait(in *list.List) { x.in, x.place = in, in.PushBack(x) }

func (x *Slot) release() {
	s := &x.gate.slots
	if x.released {
		return
	}
	x.released = true
	s.remove(x)
	s.total--
	if s.bySite[x.site]--; s.bySite[x.site] <= 0 {
		delete(s.bySite, x.site)
	}
}

// pendingByNetwork holds the connections that have not logged in, by network. It
// is a heap with the network on top that has to give one up first, so that a
// flood costs little to keep in order.
type pendingByNetwork struct {
	networks map[pendingKey]*pendingNetwork
	heap     []*pendingNetwork
	resized  int // how often a network has grown or shrunk
}

// pendingKey is a network, of which known addresses are counted apart.
type pendingKey struct {
	network netip.Prefix
	known   bool
}

type pendingNetwork struct {
	pendingKey
	silent, spoke list.List // of *Slot, the oldest first
	since         int       // pendingByNetwork.resized when it got its size
	index         int       // in the heap
}

func (n *pendingNetwork) size() int { return n.silent.Len() + n.spoke.Len() }

func (s *slots) add(k pendingKey, x *Slot) {
	n := s.pending.networks[k]
	if n == nil {
		n = &pendingNetwork{pendingKey: k}
		if s.pending.networks == nil {
			s.pending.networks = make(map[pendingKey]*pendingNetwork)
		}
		s.pending.networks[k] = n
		heap.Push(&s.pending, n)
	}
	x.pending = n
	x.wait(&n.silent)
	s.resized(n, 1)
}

// remove removes a connection from those that may be closed.
func (s *slots) remove(x *Slot) {
	if n := x.pending; n != nil {
		x.in.Remove(x.place)
		x.pending = nil
		s.resized(n, -1)
	}
}

// resized puts a network that has grown or shrunk in its order.
func (s *slots) resized(n *pendingNetwork, by int) {
	if !n.known {
		s.unknown += by
	}
	s.pending.resized++
	if n.since = s.pending.resized; n.size() > 0 {
		heap.Fix(&s.pending, n.index)
		return
	}
	heap.Remove(&s.pending, n.index)
	delete(s.pending.networks, n.pendingKey)
}

// first returns the connection to close first, or nil. Those from known addresses
// are closed only in favour of others such.
func (s *slots) first(knownToo bool) *Slot {
	if len(s.pending.heap) == 0 || s.pending.heap[0].known && !knownToo {
		return nil
	}
	n := s.pending.heap[0]
	if e := n.silent.Front(); e != nil {
		return e.Value.(*Slot)
	}
	return n.spoke.Front().Value.(*Slot)
}

// Less puts unknown addresses first, then the networks with the most connections,
// then those with a silent one, then those that have had their size for longest.
func (p *pendingByNetwork) Less(i, j int) bool {
	a, b := p.heap[i], p.heap[j]
	switch aSilent, bSilent := a.silent.Len() > 0, b.silent.Len() > 0; {
	case a.known != b.known:
		return b.known
	case a.size() != b.size():
		return a.size() > b.size()
	case aSilent != bSilent:
		return aSilent
	}
	return a.since < b.since
}

func (p *pendingByNetwork) Len() int { return len(p.heap) }

func (p *pendingByNetwork) Swap(i, j int) {
	p.heap[i], p.heap[j] = p.heap[j], p.heap[i]
	p.heap[i].index, p.heap[j].index = i, j
}

// Push is part of [heap.Interface].
func (p *pendingByNetwork) Push(n any) {
	n.(*pendingNetwork).index = len(p.heap)
	p.heap = append(p.heap, n.(*pendingNetwork))
}

// Pop is part of [heap.Interface].
func (p *pendingByNetwork) Pop() any {
	n := p.heap[len(p.heap)-1]
	p.heap[len(p.heap)-1] = nil
	p.heap = p.heap[:len(p.heap)-1]
	return n
}
