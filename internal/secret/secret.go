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

// String is a password, a token or a client secret. Formatting verbs, encoders and
// loggers print [Redacted] instead. Only [String.Reveal] returns the value, so that
// a search for that name finds every place that uses one.
type String string

// Redacted stands for a secret in print.
const Redacted = "•••"

// Reveal returns the value. Never pass the result to a log or an error.
func (s String) Reveal() string { return string(s) }

// Empty reports whether the secret is empty.
func (s String) Empty() bool { return s == "" }

func (s String) String() string   { return Redacted }
func (s String) GoString() string { return Redacted }

// Format overrides every verb: %x of a String would print it in hexadecimal if
// only String were defined.
func (s String) Format(f fmt.State, _ rune) { io.WriteString(f, Redacted) }

// MarshalText keeps encoders (JSON, TOML, XML) from writing the value.
func (s String) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// A type that holds a String needs a Format method too: fmt calls no method of an
// unexported field, nor of a value behind a pointer that it prints with a verb such
// as %s.

// RandomBytes returns n random bytes.
func RandomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// RandomHex returns n random bytes as 2n hexadecimal digits.
func RandomHex(n int) string { return hex.EncodeToString(RandomBytes(n)) }

// Equal compares secrets in constant time.
func Equal(a, b String) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// Scrub removes secrets from the text of a peer that knows them: an endpoint may
// quote the token that it refuses.
func Scrub(text string, told ...String) string {
	for _, s := range told {
		if !s.Empty() {
			text = strings.ReplaceAll(text, s.Reveal(), Redacted)
			text = strings.ReplaceAll(text, url.QueryEscape(s.Reveal()), Redacted)
		}
	}
	return text
}
