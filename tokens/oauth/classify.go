package oauth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"authferry/internal/printable"
	"authferry/internal/secret"
)

// meaning is what an error response means: its kind, its cause, and what to do about it
// unless the cause's advice says so.
type meaning struct {
	kind  error
	cause Cause
	fix   string
}

// codeMeanings are by the OAuth error code. A code in no list is temporary: a new code
// for an outage must not end a grant. With ErrRefused the grant may be valid, and the
// client, the domain's policy or the configuration needs a person.
var codeMeanings = map[string]meaning{
	"invalid_grant":         {ErrNeedsConsent, CauseRevoked, ""},
	"interaction_required":  {ErrNeedsConsent, CauseInteraction, ""},
	"login_required":        {ErrNeedsConsent, CauseInteraction, ""},
	"consent_required":      {ErrNeedsConsent, CauseInteraction, ""},
	"invalid_client":        {ErrRefused, CauseClient, "check client_id and client_secret"},
	"unauthorized_client":   {ErrRefused, CauseClient, "allow this grant type for the client in the provider's console"},
	"deleted_client":        {ErrRefused, CauseClientDeleted, "restore the OAuth client in the provider's console or make a new one"},
	"disabled_client":       {ErrRefused, CauseClientDeleted, "see in the provider's console why the OAuth client was disabled, or make a new one"},
	"admin_policy_enforced": {ErrRefused, CausePolicy, "ask the domain's administrator to trust this client id"},
	"org_internal":          {ErrRefused, CausePolicy, "the consent screen is Internal to another organisation: use a client of the mailbox's organisation"},
	"access_denied":         {ErrRefused, CausePolicy, ""},
	"invalid_scope":         {ErrRefused, CauseUnknown, "check scopes"},
	// These concern the configuration, not the grant.
	"unsupported_grant_type": {ErrRefused, CauseUnknown, "check token_url"},
	"redirect_uri_mismatch":  {ErrRefused, CauseUnknown, "use a client of the kind \"Desktop app\", or register the redirect address"},

	"rate_limit_exceeded":     {ErrUnavailable, CauseThrottled, ""},
	"temporarily_unavailable": {ErrUnavailable, CauseOutage, ""},
	"server_error":            {ErrUnavailable, CauseOutage, ""},
}

// codeFixes are what to do about each code, if that is the same for every flow.
var codeFixes = func() map[string]string {
	fixes := map[string]string{}
	for code, m := range codeMeanings {
		fixes[code] = m.fix
	}
	return fixes
}()

// googleDescriptions are parts of the error_description of Google's invalid_grant and
// unauthorized_client: the code is the same for a deleted key, an unknown user and a
// wrong clock.
// https://developers.google.com/identity/protocols/oauth2/service-account#error-codes
var googleDescriptions = []struct {
	words   string
	meaning meaning
}{
	{"invalid email or user id", meaning{ErrRefused, CauseUnknownUser, ""}},
	{"short-lived token", meaning{ErrRefused, CauseClock, ""}},
	{"invalid jwt", meaning{ErrRefused, CauseClient, ""}}, // "... Signature."
	{"account not found", meaning{ErrRefused, CauseClient, ""}},
	{"client is unauthorized to retrieve access tokens", meaning{ErrRefused, CauseDelegation, ""}},
	{"requested client not authorized", meaning{ErrRefused, CauseDelegation, ""}},
	{"client not authorized for any of the scopes", meaning{ErrRefused, CauseDelegation, ""}},
	{"(invalid_rapt)", meaning{ErrNeedsConsent, CauseSessionControl, ""}},
	{"(rapt_required)", meaning{ErrNeedsConsent, CauseSessionControl, ""}},
}

// microsoftNumbers are the AADSTS numbers that say more than the code. Microsoft
// guarantees none of them; for any other number the code decides.
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
var microsoftNumbers = byNumber(map[meaning][]int{
	{ErrNeedsConsent, CauseRevoked, ""}:        {50173, 700082, 70008, 700084, 50133, 50132, 70000},
	{ErrNeedsConsent, CauseSessionControl, ""}: {70043, 70044},
	// MFA to set up, do or renew; a password to change; conditional access; missing
	// consent; a code that was redeemed already.
	{ErrNeedsConsent, CauseInteraction, ""}: {
		50072, 50074, 50076, 50078, 50079, 50158, 50055, 50058, 50097, 50125, 50144,
		53000, 53001, 53002, 53003, 53004, 65001, 65004, 54005,
	},
	{ErrRefused, CausePolicy, ""}:        {50057, 50105, 90094, 90095},
	{ErrRefused, CauseUnknownUser, ""}:   {50034, 50020, 51004},
	{ErrRefused, CauseClientDeleted, ""}: {7000112},
	{ErrRefused, CauseDelegation, ""}:    {7000229, 500011},
	{ErrRefused, CauseClock, ""}:         {700024},
	{ErrRefused, CauseClient, "the client_secret is wrong: it must be the secret's value, not its id"}:    {7000215},
	{ErrRefused, CauseClient, "the client_secret has expired: make a new one"}:                            {7000222},
	{ErrRefused, CauseClient, "the directory has no such client: check client_id and tenant"}:             {700016, 90002, 900023},
	{ErrRefused, CauseClient, "the client is confidential: it needs client_secret or a certificate"}:      {7000218},
	{ErrRefused, CauseClient, "the client is public: remove client_secret"}:                               {700025},
	{ErrRefused, CauseClient, "the certificate is not the one registered for the client, or has expired"}: {700027},
	{ErrUnavailable, CauseThrottled, ""}:                                                                  {50053, 50196, 90055}, // 50053: locked for some time after wrong passwords
	{ErrUnavailable, CauseOutage, ""}:                                                                     {50000, 90006, 90012, 90024, 90033},
})

func byNumber(lists map[meaning][]int) map[int]meaning {
	all := map[int]meaning{}
	for m, list := range lists {
		for _, n := range list {
			all[n] = m
		}
	}
	return all
}

var microsoftNumber = regexp.MustCompile(`\bAADSTS([0-9]{4,9})\b`)

// numbersOf returns Microsoft's numbers in a response: its list, or those in the
// description.
func numbersOf(f fields) []int {
	var list []int
	if json.Unmarshal(f["error_codes"], &list) == nil && len(list) > 0 {
		return list
	}
	for _, m := range microsoftNumber.FindAllStringSubmatch(f.text("error_description"), 4) {
		if n, err := strconv.Atoi(m[1]); err == nil {
			list = append(list, n)
		}
	}
	return list
}

// meaningOf returns what a response that names an error means. Only a definite response
// ends a grant: one with a status that RFC 6749 §5.2 gives to errors.
func meaningOf(status int, f fields, code string) meaning {
	m, known := codeMeanings[code]
	switch {
	case status >= 500 || status == http.StatusTooManyRequests:
		return meaning{ErrUnavailable, causeOfStatus(status), ""}
	case !known:
		return meaning{ErrUnavailable, CauseUnknown, ""}
	}
	description := strings.ToLower(f.text("error_description"))
	for _, d := range googleDescriptions {
		if strings.Contains(description, d.words) {
			m = d.meaning
			break
		}
	}
	for _, n := range numbersOf(f) {
		if of, ok := microsoftNumbers[n]; ok {
			m = of
			break
		}
	}
	switch subtype := f.text("error_subtype"); {
	case m.kind == ErrNeedsConsent && (subtype == "invalid_rapt" || subtype == "rapt_required"):
		m.cause = CauseSessionControl
	case m.cause == CauseRevoked && strings.Contains(description, "service abuse mode"):
		m.cause = CauseInteraction // Microsoft requires the owner to unlock the account
	}
	if base := codeMeanings[code]; m.kind == ErrNeedsConsent && base.kind != ErrNeedsConsent {
		m = base // descriptions and numbers refine a definite response, but do not make one
	}
	if m.kind == ErrNeedsConsent && status != http.StatusBadRequest && status != http.StatusUnauthorized {
		return meaning{ErrUnavailable, CauseUnknown, ""}
	}
	return m
}

// errorResponse is the error of a response that names one.
func errorResponse(status int, f fields, code string, told []secret.String) *EndpointError {
	m := meaningOf(status, f, code)
	e := &EndpointError{Kind: m.kind, code: code, cause: m.cause}
	e.reason = fmt.Sprintf("answered %d %s", status, printable.Quote(secret.Scrub(code, told...)))
	if description := f.text("error_description"); description != "" {
		e.reason += " " + printable.Quote(secret.Scrub(description, told...))
	}
	if subtype := f.text("error_subtype"); subtype != "" {
		e.reason += fmt.Sprintf(" (%s)", printable.Quote(secret.Scrub(subtype, told...)))
	}
	if m.fix != "" {
		e.reason += "; " + m.fix
	}
	return e
}

// causeOfStatus returns the cause of a response without a readable error.
func causeOfStatus(status int) Cause {
	if status == http.StatusTooManyRequests {
		return CauseThrottled
	}
	return CauseOutage
}
