package document

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// hiddenKeys hold secrets; runKeys are programs whose arguments may.
var (
	hiddenKeys = []string{"client_secret", "webhook"}
	runKeys    = []string{"token_command", "command"}
)

const hiddenValue = "•••"

// shownValue returns a value as the file would have it; ok is false for tables,
// whose keys are shown instead.
func shownValue(key string, value any) (shown string, ok bool) {
	switch value := value.(type) {
	case string:
		switch {
		case slices.Contains(hiddenKeys, key) && value != "":
			return hiddenValue, true
		case strings.Contains(value, "://"):
			return fmt.Sprintf("%q", withoutUser(value)), true
		}
		return fmt.Sprintf("%q", value), true
	case []any:
		var parts []string
		for i, v := range value {
			s, ok := shownValue("", v)
			if !ok {
				return "", false // a list of tables
			}
			if slices.Contains(runKeys, key) && i > 0 {
				s = hiddenValue
			}
			parts = append(parts, s)
		}
		return "[" + strings.Join(parts, ", ") + "]", true
	case time.Duration:
		return fmt.Sprintf("%q", shortDuration(value)), true
	case bool, int64, int, float64:
		return fmt.Sprint(value), true
	}
	return "", false
}

// withoutUser returns an address without its user and password. A database's
// address may have them among its parameters, too (password, sslpassword).
func withoutUser(address string) string {
	scheme, _, _ := strings.Cut(address, "://")
	database := slices.Contains([]string{"postgres", "postgresql"}, strings.ToLower(scheme))
	u, err := url.Parse(address)
	switch {
	case err != nil && (database || strings.Contains(address, "@")):
		return hiddenValue
	case database:
		place := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
		return place.String()
	case err != nil || u.User == nil:
		return address
	}
	u.User = nil
	return strings.Replace(u.String(), "://", "://"+hiddenValue+"@", 1)
}

// shortDuration returns a time span without the zeros at its end.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
