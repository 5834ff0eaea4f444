package tokens

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"authferry/internal/testport"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// transientFaults are the failures of an endpoint that say nothing about a grant.
var transientFaults = map[string]struct {
	why   oauth.Cause
	begin func(t *testing.T, r *rig)
}{
	"timeout": {oauth.CauseUnreachable, func(t *testing.T, r *rig) {
		r.provider.Timeout = 20 * time.Millisecond
		r.endpoint.Does(func(_ http.ResponseWriter, q *http.Request) bool {
			io.Copy(io.Discard, q.Body) // or the end of the connection goes unnoticed
			<-q.Context().Done()
			panic(http.ErrAbortHandler)
		})
	}},
	"429":                {oauth.CauseThrottled, answering(429, `{"error":"rate_limit_exceeded"}`)},
	"429, an old grant":  {oauth.CauseThrottled, answering(429, `{"error":"invalid_grant"}`)},
	"500":                {oauth.CauseOutage, answering(500, `{"error":"internal_failure"}`)},
	"503 HTML":           {oauth.CauseOutage, answering(503, `<html>Service Unavailable</html>`)},
	"200 HTML":           {oauth.CauseOutage, answering(200, `<html>Please accept the terms</html>`, "Content-Type", "text/html")},
	"truncated JSON":     {oauth.CauseOutage, answering(200, `{"access_token":"ya29.CANARY","expires_`)},
	"empty body":         {oauth.CauseOutage, answering(200, ``)},
	"a form":             {oauth.CauseOutage, answering(200, `access_token=CANARY&expires_in=3599`, "Content-Type", "application/x-www-form-urlencoded")},
	"an error of a form": {oauth.CauseOutage, answering(400, `error=invalid_grant`, "Content-Type", "application/x-www-form-urlencoded")},
	"redirect":           {oauth.CauseOutage, answering(302, ``, "Location", "https://portal.example/")},
	"cut answer": {oauth.CauseUnreachable, func(t *testing.T, r *rig) {
		r.endpoint.Does(func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "200")
			fmt.Fprint(w, `{"access_token":"ya29.CANARY"`)
			panic(http.ErrAbortHandler)
		})
	}},
	"connection refused": {oauth.CauseUnreachable, func(t *testing.T, r *rig) { r.provider.TokenURL = "http://" + testport.Refused(t) + "/token" }},
	"DNS failure": {oauth.CauseUnreachable, func(t *testing.T, r *rig) {
		whole := net.DefaultResolver
		t.Cleanup(func() { net.DefaultResolver = whole })
		net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("no name server in this test")
		}}
		r.provider.TokenURL = "https://oauth2.example.invalid/token"
	}},
	"TLS failure": {oauth.CauseUnreachable, func(t *testing.T, r *rig) {
		s := httptest.NewUnstartedServer(r.endpoint)
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		r.provider.TokenURL = s.URL
	}},
}

func answering(status int, body string, headers ...string) func(*testing.T, *rig) {
	return func(_ *testing.T, r *rig) { r.endpoint.Answers(status, body, headers...) }
}

// TestTransientFaults: after every fault in every state the grant is as it was, no
// consent is demanded, and the fault passes by itself.
func TestTransientFaults(t *testing.T) {
	for fault, f := range transientFaults {
		for _, before := range []store.State{store.StateFresh, store.StateStale, store.StateNeedsConsent} {
			t.Run(fault+", "+string(before), func(t *testing.T) {
				r := newRig(t)
				r.bring(before)
				well := *r.provider
				was := *r.account()
				f.begin(t, r)
				_, asked := r.Refresh(t.Context(), me)
				if asked == nil {
					t.Fatal("no fault")
				}
				r.checkText("an error", asked.Error())
				_, err := r.authorize()
				switch {
				case before == store.StateFresh && err != nil:
					t.Errorf("a login with a good token: %v", err)
				case before == store.StateStale && (!errors.Is(err, oauth.ErrUnavailable) || oauth.CauseOf(err) != f.why):
					t.Errorf("put down to %q, not %q: %v", oauth.CauseOf(err), f.why, err)
				case before == store.StateNeedsConsent && !errors.Is(err, oauth.ErrNeedsConsent):
					t.Errorf("a dead grant: %v", err)
				}
				if before != store.StateNeedsConsent && errors.Is(asked, oauth.ErrNeedsConsent) {
					t.Errorf("consent is asked for: %v", asked)
				}
				is := *r.account()
				if is.Trouble == nil || is.Trouble.Cause != f.why {
					t.Errorf("what is written down: %+v", is.Trouble)
				}
				is.Trouble = was.Trouble
				if !reflect.DeepEqual(is, was) {
					t.Error("the account is not as it was")
				}
				*r.provider = well
				r.endpoint.Does(nil)
				r.clock.Advance(deadRetry + time.Second)
				r.age(0)
				if g := r.mustAuthorize(); !r.endpoint.Use(g.AccessToken) {
					t.Error("the token is not good")
				}
				r.wantState(store.StateFresh)
			})
		}
	}
}

// bring brings the mailbox into a state.
func (r *rig) bring(s store.State) {
	r.t.Helper()
	switch s {
	case store.StateFresh:
		r.mustAuthorize()
	case store.StateNeedsConsent:
		r.endpoint.Answers(400, `{"error":"invalid_grant"}`)
		r.want(oauth.ErrNeedsConsent, "")
		r.endpoint.Does(nil)
		r.clock.Advance(deadRetry + time.Second)
	}
	r.wantState(s)
}

// TestRefreshForAPerson: the refresh happens now, whatever the token's age and the
// back-off, unless the provider named a time to wait.
func TestRefreshForAPerson(t *testing.T) {
	r := newRig(t)
	old := r.mustAuthorize()
	g, err := r.Refresh(t.Context(), "ME@gmail.com")
	if err != nil || g.AccessToken == old.AccessToken || !g.Minted || g.Mailbox != me || g.User != me || g.Provider != r.provider || !r.endpoint.Use(g.AccessToken) {
		t.Fatalf("%v, %v", g, err)
	}
	r.wantCalls(2)
	r.age(0)
	for _, answer := range []struct {
		status int
		body   string
		kind   error
	}{{503, "", oauth.ErrUnavailable}, {401, `{"error":"invalid_client"}`, oauth.ErrRefused}, {400, `{"error":"invalid_grant"}`, oauth.ErrNeedsConsent}} {
		r.endpoint.Answers(answer.status, answer.body)
		for range 2 {
			calls := r.endpoint.Asked()
			if _, err := r.Refresh(t.Context(), me); !errors.Is(err, answer.kind) {
				t.Errorf("%v: %v", answer, err)
			}
			r.wantCalls(calls + 1)
		}
		if _, err := r.authorize(); !errors.Is(err, answer.kind) {
			t.Errorf("%v: a login hears %v", answer, err)
		}
	}
	r.endpoint.Does(nil)
	if _, err := r.Refresh(t.Context(), me); err != nil {
		t.Error(err)
	}
	r.wantState(store.StateFresh)
	r.endpoint.Answers(429, "", "Retry-After", "600")
	r.Refresh(t.Context(), me)
	calls := r.endpoint.Asked()
	if _, err := r.Refresh(t.Context(), me); !errors.Is(err, oauth.ErrUnavailable) {
		t.Error(err)
	}
	r.wantCalls(calls)
	if _, err := r.Refresh(t.Context(), "nobody@gmail.com"); !errors.Is(err, store.ErrNoMailbox) {
		t.Error(err)
	}
}

func TestNeedsPerson(t *testing.T) {
	r := newRig(t)
	day := time.Now().Add(72 * time.Hour).UTC().Round(0)
	since := time.Now().Add(-time.Hour).UTC().Round(0)
	for name, c := range map[string]struct {
		a       store.Account
		at      time.Time
		certain bool
	}{
		"nothing foreseen": {store.Account{Provider: "fake"}, time.Time{}, false},
		"an end named":     {store.Account{Provider: "fake", Token: oauth.Token{RefreshExpiry: day}}, day, true},
		"dead":             {store.Account{Provider: "fake", Token: oauth.Token{RefreshExpiry: day}, Dead: &store.Failure{At: day, Since: since}}, since, true},
		"dead, of old":     {store.Account{Provider: "fake", Dead: &store.Failure{At: since}}, since, true},
		"refused":          {store.Account{Provider: "fake", Trouble: &store.Failure{Since: since, Cause: oauth.CauseClientDeleted}}, since, false},
		"an outage":        {store.Account{Provider: "fake", Trouble: &store.Failure{Since: since, Cause: oauth.CauseOutage}}, time.Time{}, false},
		"disconnected":     {store.Account{Token: oauth.Token{RefreshExpiry: day}}, time.Time{}, false},
	} {
		if at, certain := r.Vault.NeedsPerson(&c.a); !at.Equal(c.at) || certain != c.certain {
			t.Errorf("%s: %s, %v", name, at, certain)
		}
	}
}
