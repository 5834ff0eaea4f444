package tokens

import (
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxQuoted is how much of a peer's text goes into a log line or an error.
const maxQuoted = 160

// quote makes text of a peer safe to print: cut, and escaped so that it can
// neither end the line nor pass for our words.
func quote(text string) string {
	if len(text) <= maxQuoted {
		return strconv.Quote(text)
	}
	cut := maxQuoted
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return strconv.Quote(text[:cut]) + "..."
}

// scrub takes secrets out of text of a peer that was told them: an endpoint
// that says which token it does not like would have us print it.
func scrub(text string, told ...Secret) string {
	for _, s := range told {
		if !s.Empty() {
			text = strings.ReplaceAll(text, s.Reveal(), redacted)
			text = strings.ReplaceAll(text, url.QueryEscape(s.Reveal()), redacted)
		}
	}
	return text
}
