package secret

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
)

const (
	// minEncoded is how long a secret must be for its encodings to be removed: those
	// of a shorter one occur within ordinary words.
	minEncoded = 6
	// minPiece is how long a piece of a secret must be to be removed. The prefixes
	// that all secrets of a kind share ("ya29.", "GOCSPX-") are shorter.
	minPiece = 8
)

// Scrubber removes secrets, as they are and encoded, from text of a peer or a program
// that knows them and may repeat them. The zero Scrubber removes nothing.
type Scrubber struct {
	min   int
	forms []string // longest first: a secret may contain another
}

// NewScrubber returns a Scrubber for secrets of at least min bytes. Choose min by what
// the text needs to keep: a short secret occurs within ordinary words.
func NewScrubber(min int, secrets ...String) Scrubber {
	return Scrubber{min: min}.With(secrets...)
}

// With returns a Scrubber that removes more secrets.
func (s Scrubber) With(secrets ...String) Scrubber {
	forms := slices.Clone(s.forms)
	for _, secret := range secrets {
		text := secret.Reveal()
		if text == "" || len(text) < s.min {
			continue
		}
		forms = append(forms, text, url.QueryEscape(text), url.PathEscape(text))
		if len(text) >= minEncoded {
			b := []byte(text)
			forms = append(forms, hex.EncodeToString(b), base64.StdEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b))
		}
	}
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	s.forms = slices.Compact(forms)
	return s
}

func (s Scrubber) Format(f fmt.State, _ rune)   { io.WriteString(f, "scrubber "+Redacted) }
func (s Scrubber) MarshalText() ([]byte, error) { return []byte("scrubber " + Redacted), nil }

// Scrub replaces the secrets in a text.
func (s Scrubber) Scrub(text string) string {
	for _, form := range s.forms {
		text = strings.ReplaceAll(text, form, Redacted)
	}
	return text
}

// ScrubPieces replaces the secrets in a text, and any piece of one that has at least 8
// bytes: a peer may cut what it repeats. It is for short texts: its time grows with the
// text times the secrets.
func (s Scrubber) ScrubPieces(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		if n := s.piece(text[i:]); n > 0 {
			b.WriteString(Redacted)
			i += n
			continue
		}
		b.WriteByte(text[i])
		i++
	}
	return b.String()
}

// piece returns the length of the longest piece of a secret at the start of a text.
func (s Scrubber) piece(text string) (longest int) {
	for _, form := range s.forms {
		n := max(minPiece, longest+1)
		for n <= len(text) && strings.Contains(form, text[:n]) {
			longest = n
			n++
		}
	}
	return longest
}

// Scrub replaces secrets of any length in a text: even a short one that the peer was
// told must not be printed.
func Scrub(text string, told ...String) string { return NewScrubber(1, told...).Scrub(text) }
