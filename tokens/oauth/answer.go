package oauth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"authferry/internal/secret"
)

const (
	// assumedLife of an access token whose answer names none: what Google and
	// Microsoft give.
	assumedLife = time.Hour
	// maxLife of an access token: a year, as Yandex gives. More is a mistake.
	maxLife = 366 * 24 * time.Hour
	// maxToken bounds a token: Microsoft's are up to 5 kB.
	maxToken = 16 << 10
)

// answer is what a token endpoint says: RFC 6749 §5.1 and §5.2, read with
// indulgence, since every provider has its own idea of a number.
type answer map[string]json.RawMessage

// text is a field as a string, whatever it was in the JSON. An error may be an
// object where a front end of Google's answers and not the endpoint.
func (a answer) text(name string) string {
	raw := a[name]
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

// seconds is a field as a duration: 3599, "3599" and 3599.0 are all met.
func (a answer) seconds(name string, fallback, most time.Duration) time.Duration {
	f, err := strconv.ParseFloat(strings.TrimSpace(a.text(name)), 64)
	if err != nil || math.IsNaN(f) || f <= 0 {
		return fallback
	}
	return time.Duration(min(f, most.Seconds()) * float64(time.Second))
}

// readAnswer makes a token, or an *endpointError, of an answer. The reason of
// the error continues "the token endpoint ...".
func readAnswer(status int, body []byte, asked time.Time, told []secret.String) (*Token, error) {
	var a answer
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	if len(body) > maxAnswer || json.Unmarshal(body, &a) != nil || a == nil {
		return nil, &EndpointError{Kind: ErrUnavailable, why: causeOf(status), reason: fmt.Sprintf("answered %s without JSON: a proxy, a captive portal or an outage", statusText(status))}
	}
	if code := a.text("error"); code != "" && code != "null" {
		return nil, refusedAnswer(status, a, code, told)
	}
	if status < 200 || status > 299 {
		return nil, &EndpointError{Kind: ErrUnavailable, why: causeOf(status), reason: "answered " + statusText(status)}
	}
	t := &Token{
		Access: secret.String(a.text("access_token")), Refresh: secret.String(a.text("refresh_token")),
		Minted: asked, Scopes: strings.Fields(a.text("scope")),
	}
	if !isToken(t.Access) || !t.Refresh.Empty() && !isToken(t.Refresh) {
		return nil, &EndpointError{Kind: ErrUnavailable, why: CauseOutage, reason: fmt.Sprintf("answered %s with something that is not a token", statusText(status))}
	}
	t.Expiry = asked.Add(a.seconds("expires_in", assumedLife, maxLife))
	if life := a.seconds("refresh_token_expires_in", 0, 100*maxLife); life > 0 {
		t.RefreshExpiry = asked.Add(life)
	}
	return t, nil
}

// isToken tells whether s can be a token (RFC 6749 §A.12: visible characters).
// It goes into lines of mail protocols, where anything else would end them.
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
