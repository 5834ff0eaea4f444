// Package secret holds values that must not be printed (passwords, tokens and client
// secrets) and removes them from text.
package secret

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
)

// String is a password, a token or a client secret. Formatting verbs, JSON encoders and
// loggers print [Redacted] instead. Only [String.Reveal] returns the value, so a search
// for that name finds every place that uses it.
type String string

// Redacted is printed instead of a secret.
const Redacted = "•••"

// Reveal returns the value. Never pass the result to a log or an error.
func (s String) Reveal() string { return string(s) }

// Empty reports whether s is empty.
func (s String) Empty() bool { return s == "" }

func (s String) String() string   { return Redacted }
func (s String) GoString() string { return Redacted }

// Format overrides every verb: with a String method alone, %x would print the value in
// hexadecimal.
func (s String) Format(f fmt.State, _ rune) { io.WriteString(f, Redacted) }

// MarshalText keeps encoders (JSON, TOML, XML) from writing the value.
func (s String) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// A type that contains a secret needs a Format method too: fmt calls no method of an
// unexported field, nor of a value behind a pointer with a verb that does not fit it,
// such as %s.

// RandomBytes returns n random bytes.
func RandomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// RandomHex returns n random bytes in hexadecimal.
func RandomHex(n int) string { return hex.EncodeToString(RandomBytes(n)) }

// Equal compares in constant time.
func Equal(a, b String) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
