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

// verdict is what an error of a token endpoint means: what it does to logins,
// why, and what to do about it where the cause does not say that already.
type verdict struct {
	kind error
	why  Cause
	fix  string
}

// verdicts are by the OAuth error code. What is in no list is temporary: a
// provider that has a new word for a bad day must not cost a mailbox. Those of
// kind ErrRefused are for a person to mend although the grant itself may be
// well: the client, the domain's policy or the configuration is not.
var verdicts = map[string]verdict{
	"invalid_grant":         {ErrNeedsConsent, CauseRevoked, ""},
	"interaction_required":  {ErrNeedsConsent, CauseInteraction, ""},
	"login_required":        {ErrNeedsConsent, CauseInteraction, ""},
	"consent_required":      {ErrNeedsConsent, CauseInteraction, ""},
	"invalid_client":        {ErrRefused, CauseClient, "check client_id and client_secret"},
	"unauthorized_client":   {ErrRefused, CauseClient, "allow this grant type for the client in the provider's console"},
	"deleted_client":        {ErrRefused, CauseClientDeleted, "restore the OAuth client in the provider's console or make a new one"},
	"disabled_client":       {ErrRefused, CauseClientDeleted, "see in the provider's console why the OAuth client was disabled, or make a new one"},
	"admin_policy_enforced": {ErrRefused, CausePolicy, "ask the domain's administrator to trust this client id"},
	"org_internal":          {ErrRefused, CausePolicy, "the consent screen is Internal to another organisation: use a client of the mailbox's own"},
	"access_denied":         {ErrRefused, CausePolicy, ""},
	"invalid_scope":         {ErrRefused, CauseUnknown, "check scopes"},
	// Of the configuration, not of the grant.
	"unsupported_grant_type": {ErrRefused, CauseUnknown, "check token_url"},
	"redirect_uri_mismatch":  {ErrRefused, CauseUnknown, "use a client of the kind \"Desktop app\", or register the redirect address"},

	"rate_limit_exceeded":     {ErrUnavailable, CauseThrottled, ""},
	"temporarily_unavailable": {ErrUnavailable, CauseOutage, ""},
	"server_error":            {ErrUnavailable, CauseOutage, ""},
}

// refusedCodes are what to do about each code, where that can be said in general.
var refusedCodes = func() map[string]string {
	fixes := map[string]string{}
	for code, v := range verdicts {
		fixes[code] = v.fix
	}
	return fixes
}()

// googleWords are in the error_description of Google's invalid_grant and
// unauthorized_client where it tells more than the code: the code is the same
// for a key that was deleted, a user who never was, and a clock that is wrong.
// https://developers.google.com/identity/protocols/oauth2/service-account#error-codes
var googleWords = []struct {
	words string
	verdict
}{
	{"invalid email or user id", verdict{ErrRefused, CauseUnknownUser, ""}},
	{"short-lived token", verdict{ErrRefused, CauseClock, ""}},
	{"invalid jwt", verdict{ErrRefused, CauseClient, ""}}, // "... Signature."
	{"account not found", verdict{ErrRefused, CauseClient, ""}},
	{"client is unauthorized to retrieve access tokens", verdict{ErrRefused, CauseDelegation, ""}},
	{"requested client not authorized", verdict{ErrRefused, CauseDelegation, ""}},
	{"client not authorized for any of the scopes", verdict{ErrRefused, CauseDelegation, ""}},
	{"(invalid_rapt)", verdict{ErrNeedsConsent, CauseSessionControl, ""}},
	{"(rapt_required)", verdict{ErrNeedsConsent, CauseSessionControl, ""}},
}

// microsoftNumbers are the AADSTS numbers that say more than the code they come
// with. Microsoft promises nothing about them, so one that is not here leaves
// the meaning to the code.
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
var microsoftNumbers = numbers(map[verdict][]int{
	{ErrNeedsConsent, CauseRevoked, ""}:        {50173, 700082, 70008, 700084, 50133, 50132, 70000},
	{ErrNeedsConsent, CauseSessionControl, ""}: {70043, 70044},
	// MFA to be set up, done or renewed; a password to be changed; conditional
	// access; consent that is missing; a code that has been redeemed already.
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
	{ErrRefused, CauseClient, "the client is public: take client_secret out"}:                             {700025},
	{ErrRefused, CauseClient, "the certificate is not the one registered for the client, or has expired"}: {700027},
	{ErrUnavailable, CauseThrottled, ""}:                                                                  {50053, 50196, 90055}, // 50053: locked for a while, by somebody's guesses
	{ErrUnavailable, CauseOutage, ""}:                                                                     {50000, 90006, 90012, 90024, 90033},
})

func numbers(by map[verdict][]int) map[int]verdict {
	all := map[int]verdict{}
	for v, list := range by {
		for _, n := range list {
			all[n] = v
		}
	}
	return all
}

var microsoftNumber = regexp.MustCompile(`\bAADSTS([0-9]{4,9})\b`)

// numbersOf are Microsoft's numbers in an answer: a list of its own, or in the text.
func numbersOf(a answer) []int {
	var list []int
	if json.Unmarshal(a["error_codes"], &list) == nil && len(list) > 0 {
		return list
	}
	for _, m := range microsoftNumber.FindAllStringSubmatch(a.text("error_description"), 4) {
		if n, err := strconv.Atoi(m[1]); err == nil {
			list = append(list, n)
		}
	}
	return list
}

// verdictOf finds what an answer that names an error means. Only a definite answer
// ends a grant: one with the status that RFC 6749 §5.2 gives to refusals.
func verdictOf(status int, a answer, code string) verdict {
	v, known := verdicts[code]
	switch {
	case status >= 500 || status == http.StatusTooManyRequests:
		return verdict{ErrUnavailable, causeOf(status), ""}
	case !known:
		return verdict{ErrUnavailable, CauseUnknown, ""}
	}
	words := strings.ToLower(a.text("error_description"))
	for _, w := range googleWords {
		if strings.Contains(words, w.words) {
			v = w.verdict
			break
		}
	}
	for _, n := range numbersOf(a) {
		if m, ok := microsoftNumbers[n]; ok {
			v = m
			break
		}
	}
	switch subtype := a.text("error_subtype"); {
	case v.kind == ErrNeedsConsent && (subtype == "invalid_rapt" || subtype == "rapt_required"):
		v.why = CauseSessionControl
	case v.why == CauseRevoked && strings.Contains(words, "service abuse mode"):
		v.why = CauseInteraction // Microsoft wants the owner to unlock the account
	}
	if base := verdicts[code]; v.kind == ErrNeedsConsent && base.kind != ErrNeedsConsent {
		v = base // words and numbers tell more of a definite answer, but do not make one
	}
	if v.kind == ErrNeedsConsent && status != http.StatusBadRequest && status != http.StatusUnauthorized {
		return verdict{ErrUnavailable, CauseUnknown, ""}
	}
	return v
}

// refusedAnswer is the error of an answer that names one.
func refusedAnswer(status int, a answer, code string, told []secret.String) *EndpointError {
	v := verdictOf(status, a, code)
	e := &EndpointError{Kind: v.kind, code: code, why: v.why}
	e.reason = fmt.Sprintf("answered %d %s", status, printable.Quote(secret.Scrub(code, told...)))
	if words := a.text("error_description"); words != "" {
		e.reason += " " + printable.Quote(secret.Scrub(words, told...))
	}
	// invalid_rapt: the domain's session control ended the grant, not its owner.
	if subtype := a.text("error_subtype"); subtype != "" {
		e.reason += fmt.Sprintf(" (%s)", printable.Quote(secret.Scrub(subtype, told...)))
	}
	if v.fix != "" {
		e.reason += "; " + v.fix
	}
	return e
}

// causeOf is why an answer without a readable error failed.
func causeOf(status int) Cause {
	if status == http.StatusTooManyRequests {
		return CauseThrottled
	}
	return CauseOutage
}
