package tokens

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"authferry/internal/network"
)

// PasswordSpec describes a local password to be made.
type PasswordSpec struct {
	Name      string
	Preset    Secret // taken exactly as given; empty: one is generated
	Length    int    // letters of a generated one, 12 or more; 0: 16
	Protocols []string
	Networks  []netip.Prefix
	Expires   time.Time

	ReadOnly        bool // looks at everything, changes nothing, sends nothing
	MessagesPerHour int  // that may be sent; 0: any number
	Recipients      int  // of one message; 0: any number
}

const (
	// letters of generated passwords: lower case, without i, l and o, which
	// people and printers' displays confuse with 1 and 0.
	letters = "abcdefghjkmnpqrstuvwxyz"
	// defaultLength gives 72 bits, and looks like the app passwords that
	// programs' manuals describe.
	defaultLength = 16
)

// newPassword makes a password and returns what is kept of it and what is shown.
func newPassword(spec PasswordSpec, now time.Time) (Password, Secret, error) {
	if err := spec.Check(now); err != nil {
		return Password{}, "", err
	}
	p := Password{
		ID: randomHex(8), Name: spec.Name, Protocols: spec.Protocols,
		Expires: spec.Expires, Created: now.UTC().Round(0),
		ReadOnly: spec.ReadOnly, MessagesPerHour: spec.MessagesPerHour, Recipients: spec.Recipients,
	}
	for _, n := range spec.Networks {
		p.Networks = append(p.Networks, network.Unmap(n).Masked())
	}
	if !spec.Preset.Empty() {
		p.Argon2 = hashArgon2(spec.Preset)
		return p, spec.Preset, nil
	}
	length := spec.Length
	if length == 0 {
		length = defaultLength
	}
	shown := generate(length)
	p.Key = Secret(randomBytes(32))
	p.Hash = keyedHash(p.Key, foldGenerated(shown))
	return p, shown, nil
}

// generate makes a password of so many letters, in groups of four.
func generate(length int) Secret {
	var b strings.Builder
	for i := range length {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
		if err != nil {
			panic(err) // does not happen: crypto/rand ends the program first
		}
		b.WriteByte(letters[n.Int64()])
	}
	return Secret(b.String())
}

// foldGenerated makes what people make of a generated password when they copy
// it equal: groups apart or not, spaces of any width, a line end pasted along,
// capitals at the start.
func foldGenerated(s Secret) Secret {
	var b strings.Builder
	b.Grow(len(s))
	for i, r := range s.Reveal() {
		switch {
		case unicode.IsSpace(r), r == '\u200b', r == '\ufeff': // zero width space, byte order mark
		case r == utf8.RuneError && s[i] == 0xa0: // a no-break space in Latin-1
		default:
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return Secret(b.String())
}

func keyedHash(key, password Secret) Secret {
	mac := hmac.New(sha256.New, []byte(key.Reveal()))
	mac.Write([]byte(password.Reveal()))
	return Secret(mac.Sum(nil))
}

func expired(p *Password, now time.Time) bool {
	return !p.Expires.IsZero() && !now.Before(p.Expires)
}

// forbids tells why a password does not serve a login, in words that follow
// its name; empty if it does.
func forbids(p *Password, l Login, now time.Time) string {
	from := l.From.Unmap().WithZone("")
	switch {
	case expired(p, now):
		return "expired on " + p.Expires.Format(time.RFC3339)
	case len(p.Protocols) > 0 && !slices.Contains(p.Protocols, l.Protocol):
		return fmt.Sprintf("is for %s, not for %s", strings.Join(p.Protocols, ", "), l.Protocol)
	case p.ReadOnly && l.Protocol == "smtp":
		return "is read-only, and smtp is for sending"
	case len(p.Networks) > 0 && !slices.ContainsFunc(p.Networks, func(n netip.Prefix) bool { return n.Contains(from) }):
		return fmt.Sprintf("is not allowed from %s", from)
	}
	return ""
}

func (p PasswordSpec) Format(f fmt.State, _ rune) { io.WriteString(f, "password "+p.Name) }
