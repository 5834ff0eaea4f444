package tokens

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestCauses: what each kind of answer is put down to, and what it does.
func TestCauses(t *testing.T) {
	microsoft := func(code, number string) string {
		return `{"error":"` + code + `","error_description":"AADSTS` + number + `: Some words. Trace ID: 0 Correlation ID: 1","error_codes":[` + number + `]}`
	}
	for name, c := range map[string]struct {
		status int
		body   string
		kind   error
		why    Cause
	}{
		"revoked":               {400, `{"error":"invalid_grant","error_description":"Token has been expired or revoked."}`, ErrNeedsConsent, CauseRevoked},
		"session control":       {400, `{"error":"invalid_grant","error_subtype":"invalid_rapt"}`, ErrNeedsConsent, CauseSessionControl},
		"session control, due":  {400, `{"error":"invalid_grant","error_subtype":"rapt_required"}`, ErrNeedsConsent, CauseSessionControl},
		"session control, old":  {400, `{"error":"invalid_grant","error_description":"reauth related error (invalid_rapt)"}`, ErrNeedsConsent, CauseSessionControl},
		"policy":                {400, `{"error":"admin_policy_enforced"}`, ErrRefused, CausePolicy},
		"deleted client":        {401, `{"error":"deleted_client"}`, ErrRefused, CauseClientDeleted},
		"disabled client":       {401, `{"error":"disabled_client"}`, ErrRefused, CauseClientDeleted},
		"wrong client":          {401, `{"error":"invalid_client"}`, ErrRefused, CauseClient},
		"scope":                 {400, `{"error":"invalid_scope"}`, ErrRefused, CauseUnknown},
		"interaction":           {400, `{"error":"interaction_required"}`, ErrNeedsConsent, CauseInteraction},
		"interaction, odd":      {403, `{"error":"interaction_required"}`, ErrUnavailable, CauseUnknown},
		"throttled":             {429, `{"error":"invalid_grant"}`, ErrUnavailable, CauseThrottled},
		"throttled, 403":        {403, `{"error":"rate_limit_exceeded"}`, ErrUnavailable, CauseThrottled},
		"throttled, no JSON":    {429, `<html>`, ErrUnavailable, CauseThrottled},
		"outage":                {503, `{"error":"invalid_client"}`, ErrUnavailable, CauseOutage},
		"outage, HTML":          {200, `<html>`, ErrUnavailable, CauseOutage},
		"outage, 404":           {404, `{}`, ErrUnavailable, CauseOutage},
		"words do not decide":   {401, `{"error":"invalid_client","error_description":"AADSTS50173: x (invalid_rapt)","error_codes":[50173]}`, ErrRefused, CauseClient},
		"unknown":               {400, `{"error":"bad_day"}`, ErrUnavailable, CauseUnknown},
		"password changed":      {400, microsoft("invalid_grant", "50173"), ErrNeedsConsent, CauseRevoked},
		"unused":                {400, microsoft("invalid_grant", "700082"), ErrNeedsConsent, CauseRevoked},
		"sign-in frequency":     {400, microsoft("invalid_grant", "70043"), ErrNeedsConsent, CauseSessionControl},
		"second factor":         {400, microsoft("invalid_grant", "50076"), ErrNeedsConsent, CauseInteraction},
		"second factor, new":    {400, microsoft("interaction_required", "50079"), ErrNeedsConsent, CauseInteraction},
		"conditional access":    {400, microsoft("invalid_grant", "53003"), ErrNeedsConsent, CauseInteraction},
		"consent missing":       {400, microsoft("invalid_grant", "65001"), ErrNeedsConsent, CauseInteraction},
		"code used twice":       {400, microsoft("invalid_grant", "54005"), ErrNeedsConsent, CauseInteraction},
		"number we do not know": {400, microsoft("invalid_grant", "9999999"), ErrNeedsConsent, CauseRevoked},
		"number in words only":  {400, `{"error":"invalid_grant","error_description":"AADSTS50173: The provided grant has expired"}`, ErrNeedsConsent, CauseRevoked},
		"abuse":                 {400, `{"error":"invalid_grant","error_description":"AADSTS70000: User account is found to be in service abuse mode.","error_codes":[70000]}`, ErrNeedsConsent, CauseInteraction},
		"locked for a while":    {400, microsoft("invalid_grant", "50053"), ErrUnavailable, CauseThrottled},
		"Microsoft's bad day":   {400, microsoft("invalid_grant", "90033"), ErrUnavailable, CauseOutage},
		"user unknown":          {400, microsoft("invalid_grant", "50034"), ErrRefused, CauseUnknownUser},
		"user disabled":         {400, microsoft("invalid_grant", "50057"), ErrRefused, CausePolicy},
		"secret wrong":          {401, microsoft("invalid_client", "7000215"), ErrRefused, CauseClient},
		"secret expired":        {401, microsoft("invalid_client", "7000222"), ErrRefused, CauseClient},
		"client unknown":        {400, microsoft("unauthorized_client", "700016"), ErrRefused, CauseClient},
		"assertion's time":      {401, microsoft("invalid_client", "700024"), ErrRefused, CauseClock},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.endpoint.answers(c.status, c.body)
			r.want(c.kind, "")
			_, err := r.authorize()
			advice, ok := AdviceOf(err)
			if CauseOf(err) != c.why || ok != (c.why != CauseUnknown) {
				t.Fatalf("put down to %q: %v", CauseOf(err), err)
			}
			a := r.account()
			if (a.Dead != nil) != (c.kind == ErrNeedsConsent) || (a.Trouble != nil) == (c.kind == ErrNeedsConsent) || a.Failure().Cause != c.why || a.Token.Refresh.Empty() {
				t.Errorf("dead %+v, trouble %+v", a.Dead, a.Trouble)
			}
			if kept, ok := r.Advice(a); ok && kept != advice {
				t.Errorf("a login hears %+v, the command line %+v", advice, kept)
			}
			if c.kind == ErrNeedsConsent && !strings.Contains(advice.Fix, "authferry connect "+me) {
				t.Errorf("the fix is %q", advice.Fix)
			}
			if at, certain := r.NeedsPerson(a); at.IsZero() != !c.why.lasts() || certain != (c.kind == ErrNeedsConsent) {
				t.Errorf("a person is needed at %s, certain %v", at, certain)
			}
		})
	}
}

// TestNobodyCanConsent: where no person signs in nothing is ever said to need
// consent, and a failure is tried again by itself.
func TestNobodyCanConsent(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		why    Cause
	}{
		"bad grant":     {400, `{"error":"invalid_grant"}`, CauseDelegation},
		"no delegation": {401, `{"error":"unauthorized_client","error_description":"Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested."}`, CauseDelegation},
		"denied":        {403, `{"error":"access_denied","error_description":"Requested client not authorized."}`, CauseDelegation},
		"unknown user":  {400, `{"error":"invalid_grant","error_description":"Invalid email or User ID"}`, CauseUnknownUser},
		"key deleted":   {400, `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`, CauseClient},
		"clock":         {400, `{"error":"invalid_grant","error_description":"Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."}`, CauseClock},
		"second factor": {400, `{"error":"interaction_required","error_description":"AADSTS50076: x"}`, CauseInteraction},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.provider.Flow = FlowClientCredentials
			r.endpoint.answers(c.status, c.body)
			r.want(ErrRefused, "")
			_, err := r.authorize()
			if CauseOf(err) != c.why {
				t.Errorf("put down to %q, not %q: %v", CauseOf(err), c.why, err)
			}
			if a := r.account(); a.Dead != nil || a.Trouble == nil {
				t.Errorf("dead %+v, trouble %+v", a.Dead, a.Trouble)
			}
			r.wantCalls(1)
			r.endpoint.answers(200, `{"access_token":"a1","expires_in":3599}`)
			r.clock.advance(mostBackOff)
			r.mustAuthorize()
		})
	}
}

// TestTestingEnded: a grant that ends on the day the provider named is not
// said to have been withdrawn.
func TestTestingEnded(t *testing.T) {
	dead := `{"error":"invalid_grant","error_description":"Token has been expired or revoked."}`
	for name, c := range map[string]struct {
		ends, connected, minted time.Duration // from now; ends 0: not named
		why                     Cause
	}{
		"on its day":                  {-time.Minute, -7 * 24 * time.Hour, -2 * time.Hour, CauseTesting},
		"long after":                  {-30 * 24 * time.Hour, -37 * 24 * time.Hour, -31 * 24 * time.Hour, CauseTesting},
		"before its day":              {4 * 24 * time.Hour, -3 * 24 * time.Hour, -time.Hour, CauseRevoked},
		"a week, though named longer": {24 * time.Hour, -7 * 24 * time.Hour, -time.Hour, CauseTesting},
		"a week, and nothing named":   {0, -7 * 24 * time.Hour, -time.Hour, CauseRevoked},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			err := r.files.Update(t.Context(), me, func(a *Account) error {
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
			r.endpoint.answers(400, dead)
			_, err = r.authorize()
			if CauseOf(err) != c.why || !errors.Is(err, ErrNeedsConsent) {
				t.Errorf("put down to %q, not %q: %v", CauseOf(err), c.why, err)
			}
		})
	}
}

func TestCauseWithoutRefreshToken(t *testing.T) {
	r := newRig(t)
	if err := r.files.Update(t.Context(), me, func(a *Account) error { a.Token.Refresh = ""; return nil }); err != nil {
		t.Fatal(err)
	}
	r.want(ErrNeedsConsent, "authferry connect "+me)
	if a := r.account(); a.Dead.Cause != CauseNoGrant {
		t.Errorf("%+v", a.Dead)
	}
	r.wantCalls(0)
}

// TestUnreachableNamesTheTokenService: people whose mail provider works look in
// the wrong place otherwise.
func TestUnreachableNamesTheTokenService(t *testing.T) {
	r := newRig(t)
	r.endpoint.does(func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) })
	_, err := r.authorize()
	advice, ok := AdviceOf(err)
	if !ok || CauseOf(err) != CauseUnreachable || !strings.Contains(advice.Words, "the token service of fake (127.0.0.1:") {
		t.Errorf("%+v: %v", advice, err)
	}
}
