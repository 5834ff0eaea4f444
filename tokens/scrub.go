package tokens

import (
	"net/url"
	"strings"
)

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
