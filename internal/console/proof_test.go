package console

import (
	"net/http"
	"testing"
	"time"

	"authferry/tokens/oauth"
)

// TestDeviceErrandLasts: as long as its code, be that longer than others or not.
func TestDeviceErrandLasts(t *testing.T) {
	now := time.Now()
	for _, life := range []time.Duration{errandLife / 2, 2 * errandLife} {
		e := &errand{began: now, Device: &oauth.Device{Expires: now.Add(life)}}
		if e.over(now.Add(life + finishTime)) {
			t.Errorf("a code good for %s: over while it is asked after", life)
		}
		if !e.over(now.Add(life + finishTime + 1)) {
			t.Errorf("a code good for %s: never over", life)
		}
	}
}

// TestInvitationNeedsProof: where nobody signs in any more, a link opens nothing.
func TestInvitationNeedsProof(t *testing.T) {
	f := newFerry(t)
	link := f.administrator().invitation(owner)
	guest := f.browser()
	guest.get(link)
	guest.want(http.StatusOK, "Connect "+owner)
	alone := *f.console.Providers()[0]
	alone.Flow = oauth.FlowServiceAccount
	f.console.Providers = func() []*oauth.Provider { return []*oauth.Provider{&alone} }
	guest.get("/invitation")
	guest.want(http.StatusServiceUnavailable, "could not begin")
	guest.post("/invitation")
	guest.want(http.StatusServiceUnavailable, "could not begin")
	if n := len(f.log.FilterMessage("an invitation could not begin").All()); n != 2 {
		t.Errorf("the log says it %d times", n)
	}
}
