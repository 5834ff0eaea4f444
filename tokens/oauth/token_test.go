package oauth

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"authferry/internal/secret"
	"authferry/internal/testport"
	"authferry/tokens/oauth/oauthtest"
)

func TestReadAnswerLife(t *testing.T) {
	asked := time.Now()
	for life, want := range map[string]time.Duration{
		`,"expires_in":3599`: 3599 * time.Second, `,"expires_in":"3599"`: 3599 * time.Second, `,"expires_in":3599.0`: 3599 * time.Second,
		`,"expires_in":" 60 "`: time.Minute, `,"expires_in":0.5`: time.Second / 2,
		``: time.Hour, `,"expires_in":null`: time.Hour, `,"expires_in":0`: time.Hour, `,"expires_in":-5`: time.Hour,
		`,"expires_in":"soon"`: time.Hour, `,"expires_in":"NaN"`: time.Hour, `,"expires_in":{}`: time.Hour,
		`,"expires_in":31536000`: 365 * 24 * time.Hour, `,"expires_in":1e300`: maxLife, `,"expires_in":"Inf"`: maxLife,
	} {
		got, err := readToken(200, []byte(`{"access_token":"ya29.x"`+life+`}`), asked, nil)
		if err != nil {
			t.Errorf("%s: %v", life, err)
		} else if !got.Expiry.Equal(asked.Add(want)) || !got.Minted.Equal(asked) {
			t.Errorf("%s: %s, want %s", life, got.Expiry.Sub(asked), want)
		}
	}
}

func TestReadAnswerFields(t *testing.T) {
	asked := time.Now()
	got, err := readToken(200, []byte("\ufeff"+`{"access_token":"a","refresh_token":"r","scope":"one  two","refresh_token_expires_in":604799,"more":[1]}`), asked, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Access != "a" || got.Refresh != "r" || len(got.Scopes) != 2 || !got.RefreshExpiry.Equal(asked.Add(604799*time.Second)) {
		t.Errorf("%+v", got)
	}
}

// TestRefreshClassifies: the kind of error of each response.
func TestRefreshClassifies(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		kind   error
		says   string
	}{
		"dead":                  {400, `{"error":"invalid_grant","error_description":"Token has been expired or revoked."}`, ErrNeedsConsent, `answered 400 "invalid_grant" "Token has been expired or revoked."`},
		"dead, said with 401":   {401, `{"error":"invalid_grant"}`, ErrNeedsConsent, ""},
		"session control":       {400, `{"error":"invalid_grant","error_description":"reauth related error (invalid_rapt)","error_subtype":"invalid_rapt"}`, ErrNeedsConsent, `("invalid_rapt")`},
		"dead, but a 500":       {500, `{"error":"invalid_grant"}`, ErrUnavailable, ""},
		"dead, but a 403":       {403, `{"error":"invalid_grant"}`, ErrUnavailable, ""},
		"dead, but text":        {400, `invalid_grant`, ErrUnavailable, "without JSON"},
		"wrong client":          {401, `{"error":"invalid_client","error_description":"The OAuth client was not found."}`, ErrRefused, "check client_id"},
		"deleted client":        {400, `{"error":"deleted_client"}`, ErrRefused, "restore"},
		"unauthorized client":   {400, `{"error":"unauthorized_client"}`, ErrRefused, "allow this grant type"},
		"admin policy":          {400, `{"error":"admin_policy_enforced"}`, ErrRefused, "administrator"},
		"internal":              {403, `{"error":"org_internal"}`, ErrRefused, "Internal"},
		"scope":                 {400, `{"error":"invalid_scope"}`, ErrRefused, "check scopes"},
		"grant type":            {400, `{"error":"unsupported_grant_type"}`, ErrRefused, "check token_url"},
		"client, but a 503":     {503, `{"error":"invalid_client"}`, ErrUnavailable, ""},
		"client, said with 200": {200, `{"error":"invalid_client"}`, ErrRefused, ""},
		"throttled":             {429, `{"error":"rate_limit_exceeded"}`, ErrUnavailable, "rate_limit_exceeded"},
		"throttled, no JSON":    {429, `slow down`, ErrUnavailable, "429 Too Many Requests"},
		"unknown error":         {400, `{"error":"bad_day"}`, ErrUnavailable, "bad_day"},
		"front end's error":     {403, `{"error":{"code":403,"message":"no such project","status":"PERMISSION_DENIED"}}`, ErrUnavailable, "PERMISSION_DENIED no such project"},
		"outage":                {502, `<html>Bad Gateway</html>`, ErrUnavailable, "502 Bad Gateway"},
		"odd status":            {599, `{}`, ErrUnavailable, "599"},
		"captive portal":        {200, `<html>Please log in</html>`, ErrUnavailable, "without JSON"},
		"redirect":              {302, ``, ErrUnavailable, "302 Found"},
		"empty":                 {200, ``, ErrUnavailable, "without JSON"},
		"null":                  {200, `null`, ErrUnavailable, "without JSON"},
		"no token":              {200, `{"expires_in":3599}`, ErrUnavailable, "not a token"},
		"token ends the line":   {200, `{"access_token":"a\r\nA1 LOGOUT"}`, ErrUnavailable, "not a token"},
		"token ends the field":  {200, `{"access_token":"a\u0001auth=b"}`, ErrUnavailable, "not a token"},
		"bad refresh token":     {200, `{"access_token":"a","refresh_token":"r\n"}`, ErrUnavailable, "not a token"},
		"long token":            {200, `{"access_token":"` + strings.Repeat("a", maxToken+1) + `"}`, ErrUnavailable, "not a token"},
		"flood":                 {200, `{"access_token":"a","x":"` + strings.Repeat("a", maxResponse) + `"}`, ErrUnavailable, "without JSON"},
		"long words":            {400, `{"error":"bad_day","error_description":"` + strings.Repeat("a", 5000) + `"}`, ErrUnavailable, `a"...`},
		"words with line ends":  {400, `{"error":"bad\r\nday"}`, ErrUnavailable, `"bad\r\nday"`},
	} {
		t.Run(name, func(t *testing.T) {
			f := oauthtest.NewEndpoint(t)
			f.Answers(c.status, c.body, "Content-Type", "text/plain", "Location", "http://127.0.0.1:1/", "Retry-After", "7")
			_, err := fakeProvider(f).Refresh(t.Context(), Token{Refresh: f.Grant()}, me, time.Now())
			e := (*EndpointError)(nil)
			if !errors.As(err, &e) || !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v; want %v and %q", err, c.kind, c.says)
			}
			for _, other := range []error{ErrNeedsConsent, ErrRefused, ErrUnavailable} {
				if other != c.kind && errors.Is(err, other) {
					t.Errorf("%v is %v too", err, other)
				}
			}
			if e.RetryAfter != 7*time.Second || len(err.Error()) > 600 {
				t.Errorf("retry after %s, %d bytes of text", e.RetryAfter, len(err.Error()))
			}
			if f.Asked() != 1 {
				t.Errorf("asked %d times", f.Asked())
			}
		})
	}
}

// TestRefreshUnreachable: a call without a response is a temporary failure.
func TestRefreshUnreachable(t *testing.T) {
	f := oauthtest.NewEndpoint(t)
	tls := httptest.NewUnstartedServer(f)
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	tls.StartTLS()
	defer tls.Close()
	for name, c := range map[string]struct {
		url, says string
		kind      error
		does      func(http.ResponseWriter, *http.Request) bool
	}{
		"nobody listens":      {"http://" + testport.Refused(t) + "/token", "refused", ErrUnavailable, nil},
		"strange certificate": {tls.URL, "ca_file", ErrUnavailable, nil},
		"cut": {f.URL, "cannot be reached", ErrUnavailable, func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "100")
			w.Write([]byte(`{"access_token":`))
			panic(http.ErrAbortHandler)
		}},
		"no TLS":   {"http://oauth2.example.com/token", "is not an https:// address", ErrRefused, nil},
		"no URL":   {"://", "is not an https:// address", ErrRefused, nil},
		"no host":  {"https://", "cannot be reached", ErrUnavailable, nil},
		"no token": {"ftp://127.0.0.1/", "is not an https:// address", ErrRefused, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f.Does(c.does)
			p := fakeProvider(f)
			p.TokenURL = c.url
			_, err := p.Refresh(t.Context(), Token{Refresh: "1//CANARY"}, me, time.Now())
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want %q", err, c.says)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	for header, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-5": 0, "7": 7 * time.Second, " 120 ": 2 * time.Minute, "99999999999": time.Hour, "9999999999999999999999": 0,
		now.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
		now.Add(-time.Minute).Format(http.TimeFormat):     0,
		now.Add(48 * time.Hour).Format(http.TimeFormat):   time.Hour,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

func FuzzReadToken(f *testing.F) {
	for _, s := range []string{
		`{"access_token":"a","expires_in":3599,"refresh_token":"r","scope":"s","token_type":"Bearer"}`,
		`{"access_token":"a","expires_in":"3599"}`, `{"access_token":"a","expires_in":3599.0,"refresh_token_expires_in":1e9}`,
		`{"error":"invalid_grant","error_description":"Bad Request","error_subtype":"invalid_rapt"}`,
		`{"error":{"code":403,"message":"m","status":"S"}}`, `<html>`, `[]`, `null`, "\ufeff{}", `{"error":null,"access_token":7}`,
		`{"error":"interaction_required","error_description":"AADSTS50076: x","error_codes":[50076]}`, `{"error":"unauthorized_client","error_codes":["7",8],"error_description":"AADSTS99999999999: AADSTS700016:"}`,
		`{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`, `{"error":"invalid_grant","error_description":"AADSTS50053: locked"}`,
	} {
		f.Add(200, s)
		f.Add(400, s)
	}
	asked := time.Now()
	f.Fuzz(func(t *testing.T, status int, body string) {
		got, err := readToken(status, []byte(body), asked, []secret.String{"told-CANARY"})
		if err == nil {
			if !isToken(got.Access) || !got.Expiry.After(asked) || got.Expiry.After(asked.Add(maxLife)) {
				t.Errorf("%+v from %q", got, body)
			}
			return
		}
		e := (*EndpointError)(nil)
		if !errors.As(err, &e) || strings.Contains(err.Error(), "told-CANARY") || strings.ContainsAny(err.Error(), "\r\n\x00") || len(err.Error()) > 2500 {
			t.Errorf("%q from %q", err, body)
		}
		definite := strings.Contains(body, "invalid_grant") || strings.Contains(body, "_required")
		if errors.Is(err, ErrNeedsConsent) && (!definite && !strings.Contains(body, `\u`) || status != 400 && status != 401) {
			t.Errorf("%d %q kills a grant", status, body)
		}
	})
}
