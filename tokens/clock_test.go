package tokens

import (
	"testing"
	"time"

	"authferry/tokens/oauth"
)

// TestWindow: a window ends when either clock says so, or when the wall clock
// shows that it was set back.
func TestWindow(t *testing.T) {
	now := time.Now()
	s := window{now, time.Minute}
	for name, c := range map[string]struct {
		now   time.Time
		holds bool
	}{
		"at once":                     {now, true},
		"just before its end":         {now.Add(59 * time.Second), true},
		"at its end":                  {now.Add(time.Minute), false},
		"the machine slept":           {now.Round(0).Add(time.Hour), false},
		"the clock was set back":      {now.Round(0).Add(-time.Hour), false},
		"the clock was set back less": {now.Round(0).Add(30 * time.Second), true},
	} {
		if got := s.contains(c.now); got != c.holds {
			t.Errorf("%s: %v", name, got)
		}
	}
	if (window{}).contains(now) {
		t.Error("a window that never began contains now")
	}
	// A time from a store has the wall clock only.
	kept := window{now.UTC().Round(0), time.Minute}
	if !kept.contains(now.Add(time.Second)) || kept.contains(now.Add(2*time.Minute)) || kept.contains(now.Add(-time.Second)) {
		t.Error("a stored window does not last as long")
	}
}

// TestClockSetBack: no state from before the clock was set back blocks a login for
// the hours that come twice.
func TestClockSetBack(t *testing.T) {
	const hours = 5 * time.Hour
	for name, begin := range map[string]func(r *rig){
		"back-off":            func(r *rig) { r.endpoint.Answers(503, ""); r.want(oauth.ErrUnavailable, "503") },
		"told to wait":        func(r *rig) { r.endpoint.Answers(429, "", "Retry-After", "3000"); r.want(oauth.ErrUnavailable, "429") },
		"refused client":      func(r *rig) { r.endpoint.Answers(401, `{"error":"invalid_client"}`); r.want(oauth.ErrRefused, "") },
		"dead grant":          func(r *rig) { r.endpoint.Answers(400, `{"error":"invalid_grant"}`); r.want(oauth.ErrNeedsConsent, "") },
		"token":               func(r *rig) { r.mustAuthorize() },
		"refused by the mail": func(r *rig) { r.Refused(r.mustAuthorize()) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.clock.SetBy(hours)
			r.age(0)
			begin(r)
			r.endpoint.Does(nil)
			calls := r.endpoint.Asked()
			r.clock.SetBy(-hours)
			g := r.mustAuthorize()
			if r.endpoint.Asked() != calls+1 || !r.endpoint.Use(g.AccessToken) {
				t.Errorf("%d calls after the clock was set back", r.endpoint.Asked()-calls)
			}
			if again := r.mustAuthorize(); again.Minted || again.AccessToken != g.AccessToken || r.endpoint.Asked() != calls+1 {
				t.Error("each login refreshes from then on")
			}
		})
	}
}

// TestClockSetForward: a token that seems to have expired is replaced once.
func TestClockSetForward(t *testing.T) {
	r := newRig(t)
	r.mustAuthorize()
	r.clock.SetBy(400 * 24 * time.Hour)
	r.mustAuthorize()
	r.mustAuthorize()
	r.wantCalls(2)
}
