package tokens

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// TestCauses: each kind of answer has its cause and its effect.
func TestCauses(t *testing.T) {
	microsoft := func(code, number string) string {
		return `{"error":"` + code + `","error_description":"AADSTS` + number + `: Some words. Trace ID: 0 Correlation ID: 1","error_codes":[` + number + `]}`
	}
	for name, c := range map[string]struct {
		status int
		body   string
		kind   error
		why    oauth.Cause
	}{
		"revoked":               {400, `{"error":"invalid_grant","error_description":"Token has been expired or revoked."}`, oauth.ErrNeedsConsent, oauth.CauseRevoked},
		"session control":       {400, `{"error":"invalid_grant","error_subtype":"invalid_rapt"}`, oauth.ErrNeedsConsent, oauth.CauseSessionControl},
		"session control, due":  {400, `{"error":"invalid_grant","error_subtype":"rapt_required"}`, oauth.ErrNeedsConsent, oauth.CauseSessionControl},
		"session control, old":  {400, `{"error":"invalid_grant","error_description":"reauth related error (invalid_rapt)"}`, oauth.ErrNeedsConsent, oauth.CauseSessionControl},
		"policy":                {400, `{"error":"admin_policy_enforced"}`, oauth.ErrRefused, oauth.CausePolicy},
		"deleted client":        {401, `{"error":"deleted_client"}`, oauth.ErrRefused, oauth.CauseClientDeleted},
		"disabled client":       {401, `{"error":"disabled_client"}`, oauth.ErrRefused, oauth.CauseClientDeleted},
		"wrong client":          {401, `{"error":"invalid_client"}`, oauth.ErrRefused, oauth.CauseClient},
		"scope":                 {400, `{"error":"invalid_scope"}`, oauth.ErrRefused, oauth.CauseUnknown},
		"interaction":           {400, `{"error":"interaction_required"}`, oauth.ErrNeedsConsent, oauth.CauseInteraction},
		"interaction, odd":      {403, `{"error":"interaction_required"}`, oauth.ErrUnavailable, oauth.CauseUnknown},
		"throttled":             {429, `{"error":"invalid_grant"}`, oauth.ErrUnavailable, oauth.CauseThrottled},
		"throttled, 403":        {403, `{"error":"rate_limit_exceeded"}`, oauth.ErrUnavailable, oauth.CauseThrottled},
		"throttled, no JSON":    {429, `<html>`, oauth.ErrUnavailable, oauth.CauseThrottled},
		"outage":                {503, `{"error":"invalid_client"}`, oauth.ErrUnavailable, oauth.CauseOutage},
		"outage, HTML":          {200, `<html>`, oauth.ErrUnavailable, oauth.CauseOutage},
		"outage, 404":           {404, `{}`, oauth.ErrUnavailable, oauth.CauseOutage},
		"words do not decide":   {401, `{"error":"invalid_client","error_description":"AADSTS50173: x (invalid_rapt)","error_codes":[50173]}`, oauth.ErrRefused, oauth.CauseClient},
		"unknown":               {400, `{"error":"bad_day"}`, oauth.ErrUnavailable, oauth.CauseUnknown},
		"password changed":      {400, microsoft("invalid_grant", "50173"), oauth.ErrNeedsConsent, oauth.CauseRevoked},
		"unused":                {400, microsoft("invalid_grant", "700082"), oauth.ErrNeedsConsent, oauth.CauseRevoked},
		"sign-in frequency":     {400, microsoft("invalid_grant", "70043"), oauth.ErrNeedsConsent, oauth.CauseSessionControl},
		"second factor":         {400, microsoft("invalid_grant", "50076"), oauth.ErrNeedsConsent, oauth.CauseInteraction},
		"second factor, new":    {400, microsoft("interaction_required", "50079"), oauth.ErrNeedsConsent, oauth.CauseInteraction},
		"conditional access":    {400, microsoft("invalid_grant", "53003"), oauth.ErrNeedsConsent, oauth.CauseInteraction},
		"consent missing":       {400, microsoft("invalid_grant", "65001"), oauth.ErrNeedsConsent, oauth.CauseInteraction},
		"code used twice":       {400, microsoft("invalid_grant", "54005"), oauth.ErrNeedsConsent, oauth.CauseInteraction},
		"number we do not know": {400, microsoft("invalid_grant", "9999999"), oauth.ErrNeedsConsent, oauth.CauseRevoked},
		"number in words only":  {400, `{"error":"invalid_grant","error_description":"AADSTS50173: The provided grant has expired"}`, oauth.ErrNeedsConsent, oauth.CauseRevoked},
		"abuse":                 {400, `{"error":"invalid_grant","error_description":"AADSTS70000: User account is found to be in service abuse mode.","error_codes":[70000]}`, oauth.ErrNeedsConsent, oauth.CauseInteraction},
		"locked for a while":    {400, microsoft("invalid_grant", "50053"), oauth.ErrUnavailable, oauth.CauseThrottled},
		"Microsoft's bad day":   {400, microsoft("invalid_grant", "90033"), oauth.ErrUnavailable, oauth.CauseOutage},
		"user unknown":          {400, microsoft("invalid_grant", "50034"), oauth.ErrRefused, oauth.CauseUnknownUser},
		"user disabled":         {400, microsoft("invalid_grant", "50057"), oauth.ErrRefused, oauth.CausePolicy},
		"secret wrong":          {401, microsoft("invalid_client", "7000215"), oauth.ErrRefused, oauth.CauseClient},
		"secret expired":        {401, microsoft("invalid_client", "7000222"), oauth.ErrRefused, oauth.CauseClient},
		"client unknown":        {400, microsoft("unauthorized_client", "700016"), oauth.ErrRefused, oauth.CauseClient},
		"assertion's time":      {401, microsoft("invalid_client", "700024"), oauth.ErrRefused, oauth.CauseClock},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.endpoint.Answers(c.status, c.body)
			r.want(c.kind, "")
			_, err := r.authorize()
			advice, ok := oauth.AdviceOf(err)
			if oauth.CauseOf(err) != c.why || ok != (c.why != oauth.CauseUnknown) {
				t.Fatalf("put down to %q: %v", oauth.CauseOf(err), err)
			}
			a := r.account()
			if (a.Dead != nil) != (c.kind == oauth.ErrNeedsConsent) || (a.Trouble != nil) == (c.kind == oauth.ErrNeedsConsent) || a.Failure().Cause != c.why || a.Token.Refresh.Empty() {
				t.Errorf("dead %+v, trouble %+v", a.Dead, a.Trouble)
			}
			if kept, ok := r.Advice(a); ok && kept != advice {
				t.Errorf("a login hears %+v, the command line %+v", advice, kept)
			}
			if c.kind == oauth.ErrNeedsConsent && !strings.Contains(advice.Fix, "authferry connect "+me) {
				t.Errorf("the fix is %q", advice.Fix)
			}
			if at, certain := r.NeedsPerson(a); at.IsZero() != !c.why.Lasts() || certain != (c.kind == oauth.ErrNeedsConsent) {
				t.Errorf("a person is needed at %s, certain %v", at, certain)
			}
		})
	}
}

// TestNobodyCanConsent: a flow without a person never needs consent, and a failure
// is tried again without one.
func TestNobodyCanConsent(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		why    oauth.Cause
	}{
		"bad grant":     {400, `{"error":"invalid_grant"}`, oauth.CauseDelegation},
		"no delegation": {401, `{"error":"unauthorized_client","error_description":"Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested."}`, oauth.CauseDelegation},
		"denied":        {403, `{"error":"access_denied","error_description":"Requested client not authorized."}`, oauth.CauseDelegation},
		"unknown user":  {400, `{"error":"invalid_grant","error_description":"Invalid email or User ID"}`, oauth.CauseUnknownUser},
		"key deleted":   {400, `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`, oauth.CauseClient},
		"clock":         {400, `{"error":"invalid_grant","error_description":"Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."}`, oauth.CauseClock},
		"second factor": {400, `{"error":"interaction_required","error_description":"AADSTS50076: x"}`, oauth.CauseInteraction},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.provider.Flow = oauth.FlowClientCredentials
			r.endpoint.Answers(c.status, c.body)
			r.want(oauth.ErrRefused, "")
			_, err := r.authorize()
			if oauth.CauseOf(err) != c.why {
				t.Errorf("put down to %q, not %q: %v", oauth.CauseOf(err), c.why, err)
			}
			if a := r.account(); a.Dead != nil || a.Trouble == nil {
				t.Errorf("dead %+v, trouble %+v", a.Dead, a.Trouble)
			}
			r.wantCalls(1)
			r.endpoint.Answers(200, `{"access_token":"a1","expires_in":3599}`)
			r.clock.Advance(maxBackoff)
			r.mustAuthorize()
		})
	}
}

// TestTestingEnded: a grant that ends on the day the provider named is not called
// revoked.
func TestTestingEnded(t *testing.T) {
	dead := `{"error":"invalid_grant","error_description":"Token has been expired or revoked."}`
	for name, c := range map[string]struct {
		ends, connected, minted time.Duration // from now; ends 0: not named
		why                     oauth.Cause
	}{
		"on its day":                  {-time.Minute, -7 * 24 * time.Hour, -2 * time.Hour, oauth.CauseTesting},
		"long after":                  {-30 * 24 * time.Hour, -37 * 24 * time.Hour, -31 * 24 * time.Hour, oauth.CauseTesting},
		"before its day":              {4 * 24 * time.Hour, -3 * 24 * time.Hour, -time.Hour, oauth.CauseRevoked},
		"a week, though named longer": {24 * time.Hour, -7 * 24 * time.Hour, -time.Hour, oauth.CauseTesting},
		"a week, and nothing named":   {0, -7 * 24 * time.Hour, -time.Hour, oauth.CauseRevoked},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			err := r.files.Update(t.Context(), me, func(a *store.Account) error {
				now := time.Now()
				a.Connected, a.Token.Minted = now.Add(c.connected), now.Add(c.minted)
				a.Token.RefreshExpiry = time.Time{}
				if c.ends != 0 {
					a.Token.RefreshExpiry = now.Add(c.ends)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			r.endpoint.Answers(400, dead)
			_, err = r.authorize()
			if oauth.CauseOf(err) != c.why || !errors.Is(err, oauth.ErrNeedsConsent) {
				t.Errorf("put down to %q, not %q: %v", oauth.CauseOf(err), c.why, err)
			}
		})
	}
}

func TestCauseWithoutRefreshToken(t *testing.T) {
	r := newRig(t)
	if err := r.files.Update(t.Context(), me, func(a *store.Account) error { a.Token.Refresh = ""; return nil }); err != nil {
		t.Fatal(err)
	}
	r.want(oauth.ErrNeedsConsent, "authferry connect "+me)
	if a := r.account(); a.Dead.Cause != oauth.CauseNoGrant {
		t.Errorf("%+v", a.Dead)
	}
	r.wantCalls(0)
}

// TestUnreachableNamesTheTokenService: otherwise people whose mail provider works
// look in the wrong place.
func TestUnreachableNamesTheTokenService(t *testing.T) {
	r := newRig(t)
	r.endpoint.Does(func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) })
	_, err := r.authorize()
	advice, ok := oauth.AdviceOf(err)
	if !ok || oauth.CauseOf(err) != oauth.CauseUnreachable || !strings.Contains(advice.Words, "the token service of fake (127.0.0.1:") {
		t.Errorf("%+v: %v", advice, err)
	}
}
