package tokens

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"strings"
)

// Secret is a password, a token or a client secret. No formatting verb, JSON
// encoder or logger prints it: whatever asks gets three bullets. The one way
// out is [Secret.Reveal], so that every place that needs the value can be found
// by searching for that name.
type Secret string

const redacted = "•••"

// Reveal returns the value itself. Never pass the result to a log or an error.
func (s Secret) Reveal() string { return string(s) }

// Empty tells whether there is nothing to keep secret.
func (s Secret) Empty() bool { return s == "" }

func (s Secret) String() string   { return redacted }
func (s Secret) GoString() string { return redacted }

// Format overrides every verb: %x of a Secret would print it in hexadecimal if
// only String were defined.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// MarshalText keeps encoders (JSON, TOML, XML) from writing the value.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// What holds a secret prints as its name. The Format of Secret does not
// suffice: fmt calls no method of an unexported field, nor of anything behind a
// pointer that it meets with a verb that does not suit it, such as %s.

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func randomHex(n int) string { return hex.EncodeToString(randomBytes(n)) }

func equal(a, b Secret) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
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
