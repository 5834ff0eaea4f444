package web

import (
	"net/http"
	"testing"

	"authferry/tokens"
)

// TestInvitationNeedsProof: where nobody signs in any more, a link opens nothing.
func TestInvitationNeedsProof(t *testing.T) {
	f := newFerry(t)
	link := f.administrator().invitation(owner)
	guest := f.browser()
	guest.get(link)
	guest.want(http.StatusOK, "Connect "+owner)
	alone := *f.console.Providers()[0]
	alone.Flow = tokens.FlowServiceAccount
	f.console.Providers = func() []*tokens.Provider { return []*tokens.Provider{&alone} }
	guest.get("/invitation")
	guest.want(http.StatusServiceUnavailable, "could not begin")
	guest.post("/invitation")
	guest.want(http.StatusServiceUnavailable, "could not begin")
	if n := len(f.log.FilterMessage("an invitation could not begin").All()); n != 2 {
		t.Errorf("the log says it %d times", n)
	}
}
