// Package secret holds values that must not be printed: passwords, tokens and client
// secrets.
package secret

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
type String string

const Redacted = "•••"

// Reveal returns the value itself. Never pass the result to a log or an error.
func (s String) Reveal() string { return string(s) }

// Empty tells whether there is nothing to keep secret.
func (s String) Empty() bool { return s == "" }

func (s String) String() string   { return Redacted }
func (s String) GoString() string { return Redacted }

// Format overrides every verb: %x of a Secret would print it in hexadecimal if
// only String were defined.
func (s String) Format(f fmt.State, _ rune) { io.WriteString(f, Redacted) }

// MarshalText keeps encoders (JSON, TOML, XML) from writing the value.
func (s String) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// What holds a secret prints as its name. The Format of Secret does not
// suffice: fmt calls no method of an unexported field, nor of anything behind a
// pointer that it meets with a verb that does not suit it, such as %s.

func RandomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func RandomHex(n int) string { return hex.EncodeToString(RandomBytes(n)) }

func Equal(a, b String) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// scrub takes secrets out of text of a peer that was told them: an endpoint
// that says which token it does not like would have us print it.
func Scrub(text string, told ...String) string {
	for _, s := range told {
		if !s.Empty() {
			text = strings.ReplaceAll(text, s.Reveal(), Redacted)
			text = strings.ReplaceAll(text, url.QueryEscape(s.Reveal()), Redacted)
		}
	}
	return text
}
