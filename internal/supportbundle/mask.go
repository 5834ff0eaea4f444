package supportbundle

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"authferry/internal/secret"
)

// mask removes from a report what must not leave this machine: secrets, and, unless they
// are to be shown, mail addresses, each of which is replaced by the same number
// everywhere.
type mask struct {
	show     bool
	secrets  []secret.String
	numbered map[string]string // address in lower case: its replacement
}

func newMask(show bool) *mask { return &mask{show: show, numbered: map[string]string{}} }

// minSecret is how long a secret must be to be removed: a shorter one occurs within the
// words of a whole report.
const minSecret = 6

// hide adds secrets to remove.
func (m *mask) hide(secrets ...secret.String) { m.secrets = append(m.secrets, secrets...) }

// number adds a mailbox to replace.
func (m *mask) number(mailbox string) { m.stand("mailbox", mailbox) }

// stand returns the replacement of an address.
func (m *mask) stand(kind, address string) string {
	key := strings.ToLower(address)
	if m.numbered[key] == "" {
		m.numbered[key] = fmt.Sprintf("%s-%d", kind, len(m.numbered)+1)
	}
	return m.numbered[key]
}

// anyAddress finds unknown mail addresses, in text of peers. The last label has only
// letters, so that versions of modules do not match.
var anyAddress = regexp.MustCompile(`[\pL\pN._%+'=-]+(?:@|%40)(?:[\pL\pN-]+\.)+[\pL]{2,}`)

func (m *mask) apply(text string) string {
	text = secret.NewScrubber(minSecret, m.secrets...).Scrub(text)
	if m.show {
		return text
	}
	names := make([]string, 0, len(m.numbered))
	for name := range m.numbered {
		names = append(names, name)
	}
	slices.SortFunc(names, longestFirst)
	for _, name := range names {
		for _, form := range []string{name, url.QueryEscape(name)} {
			whole := regexp.MustCompile(`(?i)(^|[^\pL\pN._%+-])` + regexp.QuoteMeta(form) + `($|[^\pL\pN-])`)
			// Twice: two adjacent ones share the character between them.
			for range 2 {
				text = whole.ReplaceAllString(text, "${1}"+m.numbered[name]+"${2}")
			}
		}
	}
	return anyAddress.ReplaceAllStringFunc(text, func(found string) string { return m.stand("address", found) })
}

// longestFirst sorts a name before its parts.
func longestFirst(a, b string) int {
	return cmp.Or(len(b)-len(a), strings.Compare(a, b))
}
