package supportbundle

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"authferry/internal/secret"
)

// mask removes from a text the secrets it knows, and replaces each mail address by
// a number, unless addresses are to be shown.
type mask struct {
	show     bool
	secrets  []string
	numbered map[string]string // by address in lower case
}

func newMask(show bool) *mask { return &mask{show: show, numbered: map[string]string{}} }

// leastSecret bounds the length of secrets from below: a shorter one would be found
// in the middle of words.
const leastSecret = 6

// hide adds secrets to remove, in the encodings that may appear.
func (m *mask) hide(secrets ...secret.String) {
	for _, s := range secrets {
		text := s.Reveal()
		if len(text) < leastSecret {
			continue
		}
		m.secrets = append(m.secrets, text, url.QueryEscape(text), url.PathEscape(text),
			hex.EncodeToString([]byte(text)), base64.StdEncoding.EncodeToString([]byte(text)), base64.RawURLEncoding.EncodeToString([]byte(text)))
	}
}

// number adds a mailbox to replace.
func (m *mask) number(mailbox string) { m.numberOf("mailbox", mailbox) }

// numberOf returns the number of an address.
func (m *mask) numberOf(kind, address string) string {
	key := strings.ToLower(address)
	if m.numbered[key] == "" {
		m.numbered[key] = fmt.Sprintf("%s-%d", kind, len(m.numbered)+1)
	}
	return m.numbered[key]
}

// anyAddress finds addresses that the mask does not know, in the words of peers. The
// last label has only letters, so that the versions of modules do not match.
var anyAddress = regexp.MustCompile(`[\pL\pN._%+'=-]+(?:@|%40)(?:[\pL\pN-]+\.)+[\pL]{2,}`)

func (m *mask) apply(text string) string {
	slices.SortFunc(m.secrets, longestFirst)
	for _, s := range m.secrets {
		text = strings.ReplaceAll(text, s, secret.String("").String())
	}
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
			// Twice: two neighbours share the character between them.
			for range 2 {
				text = whole.ReplaceAllString(text, "${1}"+m.numbered[name]+"${2}")
			}
		}
	}
	return anyAddress.ReplaceAllStringFunc(text, func(found string) string { return m.numberOf("address", found) })
}

// longestFirst orders words so that the whole is replaced before a part of it.
func longestFirst(a, b string) int {
	return cmp.Or(len(b)-len(a), strings.Compare(a, b))
}
