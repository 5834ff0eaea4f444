package check

import (
	"encoding/base64"
	"net/url"
	"strings"

	"authferry/internal/printable"
	"authferry/internal/secret"
)

// leastPiece is how long a piece of a secret must be to be taken out. The
// beginnings that all of a kind share ("ya29.", "GOCSPX-") are shorter.
const leastPiece = 8

// secrets are what has been told to peers. A peer may repeat it, whole, cut or
// encoded, in an answer that is worth showing.
type secrets []string

// with adds secrets in the forms in which they may come back.
func (s secrets) with(more ...secret.String) secrets {
	out := append(secrets(nil), s...)
	for _, m := range more {
		if len(m) < leastPiece {
			continue // nothing, or too short to be told from other words
		}
		text := m.Reveal()
		out = append(out, text, url.QueryEscape(text), base64.StdEncoding.EncodeToString([]byte(text)))
	}
	return out
}

// scrub takes every piece of a secret out of a text.
func (s secrets) scrub(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		if n := s.piece(text[i:]); n > 0 {
			b.WriteString(secret.String("").String())
			i += n
			continue
		}
		b.WriteByte(text[i])
		i++
	}
	return b.String()
}

// piece is how much of the beginning of a text is a piece of a secret.
func (s secrets) piece(text string) (longest int) {
	for _, secret := range s {
		n := max(leastPiece, longest+1)
		for n <= len(text) && strings.Contains(secret, text[:n]) {
			longest = n
			n++
		}
	}
	return longest
}

// said quotes a peer without secrets. Several lines become one.
func (s secrets) said(text string) string {
	text = strings.Join(strings.FieldsFunc(s.scrub(text), func(r rune) bool { return r == '\r' || r == '\n' }), " ")
	return printable.Quote(strings.TrimSpace(text))
}
