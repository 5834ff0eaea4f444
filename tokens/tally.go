package tokens

import (
	"errors"
	"sync"

	"authferry/tokens/oauth"
)

// Refreshes counts the calls of one provider's token endpoint that ended alike.
type Refreshes struct {
	Provider string
	Result   string // "ok", the [Cause] of the failure, or "unknown"
	Count    int64
}

// tally counts what became of refreshes. The zero value is ready.
type tally struct {
	mu    sync.Mutex
	count map[Refreshes]int64 // by Refreshes without a Count
}

// note counts a call that has ended.
func (t *tally) note(p *oauth.Provider, err error) {
	r := Refreshes{Provider: p.Name, Result: "ok"}
	if err != nil {
		r.Result = "unknown"
		if e := (*oauth.EndpointError)(nil); errors.As(err, &e) && e.Cause() != oauth.CauseUnknown {
			r.Result = string(e.Cause())
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count == nil {
		t.count = map[Refreshes]int64{}
	}
	t.count[r]++
}

// Refreshes tells what became of the refreshes of this process so far, in no
// order. A provider that has been asked nothing yet is not in it.
func (v *Vault) Refreshes() (list []Refreshes) {
	v.refreshes.mu.Lock()
	defer v.refreshes.mu.Unlock()
	for r, n := range v.refreshes.count {
		r.Count = n
		list = append(list, r)
	}
	return list
}
