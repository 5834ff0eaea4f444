package oauth

import (
	"errors"
	"net/url"
	"strings"
	"unicode"
)

// maxRedirect bounds an address that came back from a consent page.
const maxRedirect = 16 << 10

// readRedirect takes the parameters out of an address as people paste it: in
// quotes, broken over lines by a terminal, without http:// or with nothing but
// what follows the question mark. Its errors do not repeat the address, which
// may hold a code that is still good.
func readRedirect(address string) (url.Values, error) {
	notOne := errors.New("this is not the address that the browser was sent to: it starts with http and has state= and code= in it; copy it from the address bar even though the page does not load")
	if len(address) > maxRedirect {
		return nil, notOne
	}
	address = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			return -1
		}
		return r
	}, address)
	address = strings.Trim(address, "\"'`<>")
	address = strings.ReplaceAll(address, "&amp;", "&")
	query := address
	if before, after, ok := strings.Cut(address, "?"); ok {
		query = after
	} else if i := strings.Index(before, "#"); i >= 0 {
		query = before[i:]
	}
	query, fragment, _ := strings.Cut(query, "#")
	if query == "" {
		query = fragment // response_mode=fragment
	}
	values, err := url.ParseQuery(query)
	if err != nil || !values.Has("state") && !values.Has("code") && !values.Has("error") {
		return nil, notOne
	}
	return values, nil
}
