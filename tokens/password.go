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
	"authferry/internal/protocol"
	"authferry/internal/secret"
	"authferry/tokens/store"
)

// PasswordSpec describes a new local password.
type PasswordSpec struct {
	Name      string
	Preset    secret.String       // taken exactly as given; empty: one is generated
	Length    int                 // letters of a generated one, 12 or more; 0: 16
	Protocols []protocol.Protocol // empty: all
	Networks  []netip.Prefix
	Expires   time.Time

	ReadOnly        bool // reads everything, changes nothing, sends nothing
	MessagesPerHour int  // that may be sent; 0: any number
	Recipients      int  // of one message; 0: any number
}

const (
	// letters of generated passwords are lower case, without i, l and o, which
	// people confuse with 1 and 0, and so do displays of printers.
	letters = "abcdefghjkmnpqrstuvwxyz"
	// defaultLength gives 72 bits, and the look of the app passwords in the manuals
	// of mail programs.
	defaultLength = 16
)

// newPassword makes a password. It returns what the store keeps and what is shown
// once.
func newPassword(spec PasswordSpec, now time.Time) (store.Password, secret.String, error) {
	if err := spec.Check(now); err != nil {
		return store.Password{}, "", err
	}
	p := store.Password{
		ID: secret.RandomHex(8), Name: spec.Name, Protocols: spec.Protocols,
		Expires: spec.Expires, Created: now.UTC().Round(0),
		ReadOnly: spec.ReadOnly, MessagesPerHour: spec.MessagesPerHour, Recipients: spec.Recipients,
	}
	for _, n := range spec.Networks {
		p.Networks = append(p.Networks, network.Unmap(n).Masked())
	}
	if !spec.Preset.Empty() {
		p.Argon2 = HashChosen(spec.Preset)
		return p, spec.Preset, nil
	}
	length := spec.Length
	if length == 0 {
		length = defaultLength
	}
	shown := generate(length)
	p.Key = secret.String(secret.RandomBytes(32))
	p.Hash = keyedHash(p.Key, foldGenerated(shown))
	return p, shown, nil
}

// generate returns a random password of length letters, in groups of four.
func generate(length int) secret.String {
	var b strings.Builder
	for i := range length {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
		if err != nil {
			panic(err) // cannot happen: crypto/rand ends the program first
		}
		b.WriteByte(letters[n.Int64()])
	}
	return secret.String(b.String())
}

// foldGenerated removes the differences that people make when they copy a
// generated password: no spaces, spaces of any width, a line end, capitals.
func foldGenerated(s secret.String) secret.String {
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
	return secret.String(b.String())
}

func keyedHash(key, password secret.String) secret.String {
	mac := hmac.New(sha256.New, []byte(key.Reveal()))
	mac.Write([]byte(password.Reveal()))
	return secret.String(mac.Sum(nil))
}

func expired(p *store.Password, now time.Time) bool {
	return !p.Expires.IsZero() && !now.Before(p.Expires)
}

// forbids returns why a password does not allow a login, in words that follow its
// name; empty if it does.
func forbids(p *store.Password, l Login, now time.Time) string {
	from := l.From.Unmap().WithZone("")
	switch {
	case expired(p, now):
		return "expired on " + p.Expires.Format(time.RFC3339)
	case !protocol.Allowed(p.Protocols, l.Protocol):
		return fmt.Sprintf("is for %s, not for %s", protocol.Join(p.Protocols, ", "), l.Protocol)
	case p.ReadOnly && l.Protocol == protocol.SMTP:
		return "is read-only, and smtp is for sending"
	case len(p.Networks) > 0 && !slices.ContainsFunc(p.Networks, func(n netip.Prefix) bool { return n.Contains(from) }):
		return fmt.Sprintf("is not allowed from %s", from)
	}
	return ""
}

func (p PasswordSpec) Format(f fmt.State, _ rune) { io.WriteString(f, "password "+p.Name) }
