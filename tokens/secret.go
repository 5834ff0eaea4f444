package tokens

import (
	"fmt"
	"io"

	"authferry/internal/printable"
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

func (a Account) Format(f fmt.State, _ rune)      { io.WriteString(f, "account "+a.Mailbox) }
func (t Token) Format(f fmt.State, _ rune)        { io.WriteString(f, "token "+redacted) }
func (p Password) Format(f fmt.State, _ rune)     { io.WriteString(f, "password "+p.Name) }
func (p PasswordSpec) Format(f fmt.State, _ rune) { io.WriteString(f, "password "+p.Name) }
func (p Provider) Format(f fmt.State, _ rune)     { io.WriteString(f, "provider "+p.Name) }
func (p Provider) MarshalText() ([]byte, error)   { return []byte("provider " + p.Name), nil } // its token_command and proxy may hold one
func (l Login) Format(f fmt.State, _ rune)        { io.WriteString(f, "login of "+printable.Quote(l.User)) }
func (g Grant) Format(f fmt.State, _ rune)        { io.WriteString(f, "grant for "+g.Mailbox) }
func (c Consent) Format(f fmt.State, _ rune)      { io.WriteString(f, "consent "+redacted) }
func (d Device) Format(f fmt.State, _ rune)       { io.WriteString(f, "device code "+redacted) }
func (c call) Format(f fmt.State, _ rune)         { io.WriteString(f, "call to "+c.what) }
func (s Seal) Format(f fmt.State, _ rune)         { io.WriteString(f, redacted) }
