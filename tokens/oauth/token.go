package oauth

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"authferry/internal/secret"
)

// Token is what a provider granted: RFC 6749 §5.1, with absolute times.
type Token struct {
	Access  secret.String
	Refresh secret.String
	Minted  time.Time // when the provider issued Access
	Expiry  time.Time // zero: not known
	Scopes  []string  // the granted scopes, which may be fewer than the requested ones
	// RefreshExpiry is when the grant itself ends (Google's
	// refresh_token_expires_in, sent while the consent screen is in Testing).
	// Zero: not known.
	RefreshExpiry time.Time

	Owner string // who signed in, if the response says so (see [Provider.WhoIs]); never stored
}

func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, "token "+secret.Redacted) }

// ClockSkew is how far in the future a token may have been issued: machines that
// share a store have different clocks.
const ClockSkew = time.Minute

// Left returns the remaining life of an access token, as far as it is known.
func (t Token) Left(now time.Time) time.Duration {
	switch {
	case t.Access.Empty():
		return 0
	case t.Expiry.IsZero():
		return maxLife
	}
	return t.Expiry.Sub(now)
}

// Stale reports whether a login should start with a newer token: because less than
// the share ahead of its life is left, or because the clock has jumped and the rest
// of its life is unknown.
func (t Token) Stale(now time.Time, ahead float64) bool {
	if t.Access.Empty() {
		return true
	}
	if t.Expiry.IsZero() {
		return false
	}
	life := t.Expiry.Sub(t.Minted)
	if t.Minted.After(now.Add(ClockSkew)) || life <= 0 || life > maxLife {
		return true
	}
	return t.Left(now) < time.Duration(ahead*float64(life))
}

const (
	// testingLife is how long a grant lasts while Google's consent screen is in
	// Testing: https://developers.google.com/identity/protocols/oauth2#expiration
	testingLife = 7 * 24 * time.Hour
	// endSlack is how far the end of a grant may be from the expected time.
	endSlack = time.Hour
)

// timedOut reports whether a grant with a limited life has reached its end: the end
// has passed, or it lies between the last successful refresh and now.
func (t Token) timedOut(connected, now time.Time) bool {
	if t.RefreshExpiry.IsZero() {
		return false
	}
	week := connected.Add(testingLife)
	return now.After(t.RefreshExpiry.Add(-endSlack)) ||
		!connected.IsZero() && t.Minted.Before(week.Add(endSlack)) && now.After(week.Add(-endSlack))
}

const (
	// assumedLife of an access token whose response has no expires_in: what Google
	// and Microsoft give.
	assumedLife = time.Hour
	// maxLife of an access token: a year, as Yandex gives. More is a mistake.
	maxLife = 366 * 24 * time.Hour
	// maxToken bounds a token: Microsoft's are up to 5 kB.
	maxToken = 16 << 10
)

// fields are the members of a JSON response (RFC 6749 §5.1, §5.2). Providers differ
// in their types: numbers come as strings, errors as objects.
type fields map[string]json.RawMessage

// text returns a field as a string, whatever its type is. An error may be an object
// if a front end of Google's responds and not the endpoint.
func (f fields) text(name string) string {
	raw := f[name]
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var o struct{ Status, Message string }
	if json.Unmarshal(raw, &o) == nil && o.Status+o.Message != "" {
		return strings.TrimSpace(o.Status + " " + o.Message)
	}
	return strings.Trim(string(raw), `"`)
}

// seconds returns a field as a duration: providers send 3599, "3599" and 3599.0.
func (f fields) seconds(name string, fallback, most time.Duration) time.Duration {
	n, err := strconv.ParseFloat(strings.TrimSpace(f.text(name)), 64)
	if err != nil || math.IsNaN(n) || n <= 0 {
		return fallback
	}
	return time.Duration(min(n, most.Seconds()) * float64(time.Second))
}

// readFields reads a response of an OAuth endpoint. A response that is not JSON, or
// that is or names an error, is an [EndpointError] whose reason continues the name
// of the endpoint.
func readFields(status int, body []byte, told []secret.String) (fields, error) {
	var f fields
	if len(body) > maxResponse || json.Unmarshal(bytes.TrimPrefix(body, []byte("\ufeff")), &f) != nil || f == nil {
		return nil, &EndpointError{Kind: ErrUnavailable, cause: causeOfStatus(status), reason: fmt.Sprintf("answered %s without JSON: a proxy, a captive portal or an outage", statusText(status))}
	}
	if code := f.text("error"); code != "" && code != "null" {
		return nil, errorResponse(status, f, code, told)
	}
	if status < 200 || status > 299 {
		return nil, &EndpointError{Kind: ErrUnavailable, cause: causeOfStatus(status), reason: "answered " + statusText(status)}
	}
	return f, nil
}

// readToken reads a token from a response, or returns an [EndpointError] whose
// reason continues the name of the endpoint.
func readToken(status int, body []byte, asked time.Time, told []secret.String) (*Token, error) {
	f, err := readFields(status, body, told)
	if err != nil {
		return nil, err
	}
	t := &Token{
		Access: secret.String(f.text("access_token")), Refresh: secret.String(f.text("refresh_token")),
		Minted: asked, Scopes: strings.Fields(f.text("scope")),
	}
	if !isToken(t.Access) || !t.Refresh.Empty() && !isToken(t.Refresh) {
		return nil, &EndpointError{Kind: ErrUnavailable, cause: CauseOutage, reason: fmt.Sprintf("answered %s with something that is not a token", statusText(status))}
	}
	t.Expiry = asked.Add(f.seconds("expires_in", assumedLife, maxLife))
	if life := f.seconds("refresh_token_expires_in", 0, 100*maxLife); life > 0 {
		t.RefreshExpiry = asked.Add(life)
	}
	return t, nil
}

// isToken reports whether s can be a token (RFC 6749 §A.12: visible characters). A
// token becomes part of a line of a mail protocol, which other characters would end.
func isToken(s secret.String) bool {
	if s.Empty() || len(s) > maxToken {
		return false
	}
	return !strings.ContainsFunc(s.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' })
}

func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return fmt.Sprintf("%d %s", status, text)
	}
	return strconv.Itoa(status)
}

// readCommandOutput reads a token from the output of a token_command: the token
// alone, or JSON with access_token and expires_in (seconds from now) or expires_at
// (Unix time, or RFC 3339). It accepts the names of Azure's program too (az account
// get-access-token: accessToken, expires_on). A token without an end has that of its
// claims if it is a JWT, else an hour. Errors continue the name of the command and
// quote nothing.
func readCommandOutput(printed []byte, now time.Time) (*Token, error) {
	printed = bytes.TrimSpace(bytes.TrimPrefix(printed, []byte("\ufeff")))
	if len(printed) == 0 {
		return nil, errors.New("printed nothing")
	}
	t := &Token{Access: secret.String(printed), Minted: now}
	if printed[0] == '{' {
		var f fields
		if json.Unmarshal(printed, &f) != nil {
			return nil, errors.New("printed damaged JSON")
		}
		t.Access = secret.String(cmp.Or(f.text("access_token"), f.text("accessToken")))
		t.Scopes = strings.Fields(f.text("scope"))
		if life := f.seconds("expires_in", 0, maxLife); life > 0 {
			t.Expiry = now.Add(life)
		} else {
			t.Expiry = readTime(cmp.Or(f.text("expires_at"), f.text("expires_on")))
		}
		if t.Access.Empty() {
			return nil, errors.New("printed JSON without access_token")
		}
	}
	if !isToken(t.Access) {
		return nil, errors.New("printed something that is not a token: it must print the token, or JSON with access_token and expires_in, and nothing else")
	}
	if t.Expiry.IsZero() {
		var claims fields
		if json.Unmarshal(jwtClaims(t.Access), &claims) == nil {
			t.Expiry = readTime(claims.text("exp"))
		}
	}
	if t.Expiry.IsZero() {
		t.Expiry = now.Add(assumedLife)
	}
	if !t.Expiry.After(now) {
		return nil, fmt.Errorf("printed a token that expired at %s: the command must get a new one each time", t.Expiry.Format(time.RFC3339))
	}
	if most := now.Add(maxLife); t.Expiry.After(most) {
		t.Expiry = most
	}
	return t, nil
}

// readTime reads a time as Unix time or in the form of RFC 3339. It returns the zero
// time for anything else.
func readTime(text string) time.Time {
	if seconds, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err == nil && seconds >= 1 && seconds < 1<<36 {
		return time.Unix(int64(seconds), 0).UTC()
	}
	if at, err := time.Parse(time.RFC3339, strings.TrimSpace(text)); err == nil {
		return at.UTC()
	}
	return time.Time{}
}
